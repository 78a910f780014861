//! `shmsync sem`: at most N commands at a time.

use crate::Failure;
use crate::held::{Run, Until};
use crate::permits::for_permits;
use crate::place::Place;
use shmsync::{AcquireError, PermitPool};

const AFTER: &str = "\
Exit codes:
  the command's own, or 128 + N if signal N ended it
  124  no permit was to be had in time (-E makes it another)
  125  the tool failed: a region that is something else or for another N, no permission, no memory
  126  the command cannot be run
  127  there is no such command
  2    a wrong option

The permits are a PermitPool<N> in a region of its own, which is made if there is none: programs open it with
Shared::<PermitPool<N>>::open(\"/NAME\"). A permit's holder is the command; when that dies, by whatever means, the permit
comes back, at once or, if the tool was killed as well, within a tenth of a second or so.

N is 1 to 64, or a multiple of 8 up to 256, and the same for all who use NAME. NAME is a name in /dev/shm, or, with a
slash in it, the path of a file.

Examples:
  for f in *.wav; do shmsync sem encode -j 4 -- flac \"$f\" & done; wait
  shmsync sem gpu -j 2 --timeout 60 -- train.sh || echo \"no GPU within a minute\"";

/// Runs a command while holding one of N permits, which comes back when the command dies.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// Which permits; made if there are none
    name: String,

    /// How many permits there are
    #[arg(short = 'j', long, value_name = "N")]
    permits: u32,

    #[command(flatten)]
    run: Run,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let n = args.permits;
    let refused = || Err(Failure::Refused(format!("{n} permits: it is 1 to 64, or a multiple of 8 up to 256")));
    for_permits!(n, run_with(args), refused())
}

fn run_with<const N: usize>(args: &Args) -> Result<(), Failure> {
    let place = Place::parse(&args.name);
    let pool = place.open_or_create_as(&format!("PermitPool<{N}>"), args.run.options(), PermitPool::<N>::new)?;
    if args.run.supervises() {
        // Kept open meanwhile, so that who looks for regions that nobody uses finds it used.
        return args.run.supervise(|_, _| give_back(&pool));
    }
    // The command inherits the descriptor: it uses the region, though it has not mapped it.
    let _use = pool.handle();
    let (until, _) = args.run.prepare()?;
    let permit = acquire(&pool, &args.run, until).map_err(|error| args.run.refused(error))?;
    Err(args.run.become_command(permit))
}

fn acquire<'a, const N: usize>(
    pool: &'a PermitPool<N>,
    run: &Run,
    until: Until,
) -> Result<shmsync::Permit<'a, N>, AcquireError> {
    let permit = match until {
        Some(until) => pool.acquire_until(until)?,
        None => pool.acquire()?,
    };
    if let (true, Some(owner)) = (run.verbose, permit.reclaimed()) {
        eprintln!("shmsync: permit {} taken over from {owner}, which died", permit.index());
    }
    Ok(permit)
}

/// Frees the permit of the command that has ended, and of others that died, and wakes who waits for them.
fn give_back<const N: usize>(pool: &PermitPool<N>) {
    while pool.recover().is_ok() {}
}
