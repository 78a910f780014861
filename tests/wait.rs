//! The contract of the seam, `wait::Wait`, for every backend. The numbers are those of the contract's rules.

mod support;

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use shmsync::wait::{Deadline, Wait, Woken, Word};
use support::*;

every_backend!(
    a_changed_word_is_not_slept_on,
    a_past_deadline_only_looks,
    deadlines_are_kept,
    deadlines_are_kept_on_a_busy_machine,
    wake_wakes_as_many_as_it_is_told,
    wake_says_that_nobody_slept,
    only_the_low_half_counts,
    no_wake_is_lost,
    signals_interrupt,
    waking_from_a_signal_handler,
    a_killed_sleeper_swallows_no_wake_for_ever,
    kills_anywhere_leave_it_usable,
    any_bytes_are_a_state,
);

/// A backend with a word to wait on.
struct Place<W> {
    wait: W,
    word: AtomicU32,
    looked: Tally,
}

impl<W: Wait> Place<W> {
    fn new() -> Shm<Self> {
        Shm::new(Self { wait: W::NEW, word: AtomicU32::new(0), looked: Tally::new() })
    }

    fn wait(&self, expected: u32, timeout: Duration) -> Woken {
        self.wait.wait(Word::whole(&self.word), expected, Deadline::after(timeout))
    }

    fn wake(&self, n: u32) -> u32 {
        self.wait.wake(Word::whole(&self.word), n)
    }

    /// `n` children asleep; each counts in `looked` when it was woken, once.
    fn sleepers(&self, n: u32) -> Vec<Child> {
        let about = Shm::new(Tally::new());
        let team = team(n, |_| {
            about.up();
            // Rule 3: the very first wait may end for no reason, while somebody else makes the state usable.
            while self.wait(0, SOON) != Woken::Called {}
            self.looked.up();
        });
        about.reaches(n);
        team.iter().for_each(|child| asleep(child.pid()));
        thread::sleep(ms(5)); // Longer than a first wait that ends at once.
        team
    }
}

/// Rule 1.
fn a_changed_word_is_not_slept_on<W: Wait>() {
    let place = Place::<W>::new();
    let (woken, took) = timed(|| place.wait(1, SOON));
    assert_eq!(woken, Woken::Look);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

/// Rule 4.
fn a_past_deadline_only_looks<W: Wait>() {
    let place = Place::<W>::new();
    keeps_time(Duration::ZERO, |zero| assert_eq!(place.wait(0, zero), Woken::TimedOut));
}

/// Rule 4, not early unless for no reason (rule 3), which nobody here gives.
fn deadlines_are_kept<W: Wait>() {
    let place = Place::<W>::new();
    for timeout in [Duration::from_micros(10), ms(1), ms(9), ms(120)] {
        keeps_time(timeout, |timeout| assert_eq!(place.wait(0, timeout), Woken::TimedOut));
    }
}

/// Rule 4, also while a wake for somebody who was killed is still under way.
fn deadlines_are_kept_on_a_busy_machine<W: Wait>() {
    let place = Place::<W>::new();
    let _busy = busy(online_cpus());
    let late = || {
        place.sleepers(1)[0].kill();
        place.wake(1);
        timed(|| while place.wait(0, ms(1)) != Woken::TimedOut {}).1
    };
    let best = (0..4).map(|_| late()).min();
    assert!(best < Some(ms(50)), "a millisecond took {best:?} at best");
}

/// Rule 2.
fn wake_wakes_as_many_as_it_is_told<W: Wait>() {
    let place = Place::<W>::new();
    let team = place.sleepers(6);
    place.looked.stays(0, ms(20));
    for (n, sum) in [(1, 1), (2, 3), (0, 3)] {
        assert_eq!(place.wake(n), n);
        place.looked.reaches(sum);
        place.looked.stays(sum, ms(100));
    }
    assert_eq!(place.wake(u32::MAX), 3);
    join(team);
}

fn wake_says_that_nobody_slept<W: Wait>() {
    let place = Place::<W>::new();
    assert_eq!(place.wake(u32::MAX), 0);
    let team = place.sleepers(2);
    assert_eq!(place.wake(u32::MAX), 2);
    join(team);
    assert_eq!(place.wake(u32::MAX), 0, "all are up");
    assert_eq!(place.wait(0, ms(1)), Woken::TimedOut, "and no wake is left over");
    assert_eq!(place.wake(1), 0, "who left counts no more");
}

fn only_the_low_half_counts<W: Wait>() {
    let place = Shm::new((W::NEW, AtomicU64::new(7), Tally::new()));
    let (wait, word, about) = &*place;
    let sleeper = fork(|| {
        about.up();
        let until = Instant::now() + SOON;
        while word.load(SeqCst) as u32 == 7 {
            assert_ne!(wait.wait(Word::low_half(word), 7, Deadline::at(until)), Woken::TimedOut);
        }
        assert_eq!(word.load(SeqCst), u64::from(u32::MAX) << 32 | 8);
    });
    about.reaches(1);
    asleep(sleeper.pid());
    word.fetch_or(u64::from(u32::MAX) << 32, SeqCst); // A wait that begins now still finds the 7.
    keeps_time(ms(1), |timeout| {
        assert_eq!(wait.wait(Word::low_half(word), 7, Deadline::after(timeout)), Woken::TimedOut);
    });
    word.fetch_add(1, SeqCst);
    wait.wake(Word::low_half(word), u32::MAX);
    join([sleeper]);
}

/// Rule 2 in a race: each side changes the word and wakes while the other goes to sleep on it. A slice that ran out
/// although the word had changed is a wake that was lost. A `sem_t` cannot tell for whom a post is, and loses some.
fn no_wake_is_lost<W: Wait>() {
    const ROUNDS: u32 = 20_000;
    let place = Place::<W>::new();
    let play = |mine: u32| {
        for round in (mine..ROUNDS).step_by(2) {
            loop {
                let seen = place.word.load(SeqCst);
                if seen == round {
                    break;
                }
                if place.wait(seen, ms(100)) == Woken::TimedOut && place.word.load(SeqCst) != seen {
                    place.looked.up();
                }
            }
            if round % 7 == 0 {
                (0..round % 300).for_each(|_| std::hint::spin_loop());
            }
            place.word.store(round + 1, SeqCst);
            place.wake(1);
        }
    };
    join([fork(|| play(0)), fork(|| play(1))]);
    let most = if size_of::<W>() == 0 { 0 } else { ROUNDS / 400 };
    assert!(place.looked.get() <= most, "{} wakes were lost in {ROUNDS}", place.looked.get());
}

fn signals_interrupt<W: Wait>() {
    for flags in [0, libc::SA_RESTART] {
        let (place, handled) = (Place::<W>::new(), Shm::new(Tally::new()));
        let sleeper = fork(|| {
            count_signals_in(&handled, flags);
            assert_eq!(place.wait(0, SOON), Woken::Interrupted);
        });
        handled.reaches(1);
        pester(&sleeper, &handled, || state(sleeper.pid()) == 'Z');
        join([sleeper]);
    }
}

/// Rule 7.
fn waking_from_a_signal_handler<W: Wait>() {
    static PLACE: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());
    extern "C" fn wake<W: Wait>(_: libc::c_int) {
        // SAFETY: a Place<W>, mapped for the life of the child that installs this.
        let place = unsafe { &*PLACE.load(SeqCst).cast::<Place<W>>() };
        place.word.fetch_add(1, SeqCst);
        place.wake(u32::MAX);
    }
    let place = Place::<W>::new();
    let sleeper = fork(|| {
        PLACE.store(ptr::from_ref(&*place).cast_mut().cast(), SeqCst);
        // SAFETY: what the handler does is what rule 7 allows.
        unsafe { libc::signal(libc::SIGUSR1, wake::<W> as *const () as libc::sighandler_t) };
        place.looked.up();
        loop {
            let seen = place.word.load(SeqCst);
            if seen >= 2_000 {
                break;
            }
            assert_ne!(place.wait(seen, SOON), Woken::TimedOut);
        }
    });
    place.looked.reaches(1);
    while place.word.load(SeqCst) < 2_000 {
        sleeper.signal(libc::SIGUSR1);
    }
    place.wake(1); // The last signal may have come between the look and the sleep.
    join([sleeper]);
}

/// Rule 6: a share of the wakes may be lost on the dead, once.
fn a_killed_sleeper_swallows_no_wake_for_ever<W: Wait>() {
    let place = Place::<W>::new();
    let mut dead = place.sleepers(3);
    let living = place.sleepers(3);
    dead.iter_mut().for_each(Child::kill);
    for woken in 1..=3 {
        let wakes = (0..4).take_while(|_| {
            let start = Instant::now();
            place.wake(1);
            while place.looked.get() < woken && start.elapsed() < Duration::from_secs(2) {
                thread::sleep(ms(1));
            }
            place.looked.get() < woken
        });
        assert!(wakes.count() <= 3, "more wakes were swallowed than sleepers killed");
        assert!(place.looked.get() >= woken);
    }
    join(living);
}

/// Rule 6: from the first touch of a zero state on.
fn kills_anywhere_leave_it_usable<W: Wait>() {
    let mut dice = Dice::new();
    for _ in 0..100 {
        let (place, about) = (Place::<W>::new(), Shm::new(Tally::new()));
        let mut victims = team(2, |i| {
            about.up();
            loop {
                if i == 0 { _ = place.wait(0, Duration::from_micros(50)) } else { _ = place.wake(1) }
            }
        });
        about.reaches(2);
        let pause = Instant::now();
        let pause_for = Duration::from_micros(dice.below(150));
        while pause.elapsed() < pause_for {}
        victims.iter_mut().for_each(Child::kill);
        // Two that sleep in slices, as all callers do, and one that wakes them.
        let heirs = team(2, |_| {
            about.up();
            while place.word.load(SeqCst) == 0 {
                place.wait(0, ms(100));
            }
        });
        about.reaches(4);
        place.word.store(1, SeqCst);
        place.wake(2);
        join(heirs);
    }
}

/// Rule 5.
fn any_bytes_are_a_state<W: Wait>() {
    join(team(2, |_| {
        let mut dice = Dice::new();
        for round in 0..300 {
            let mut bytes = vec![0; size_of::<W>()];
            bytes.fill_with(|| [0, 0xff, 0x80, dice.below(256) as u8][dice.below(4) as usize]);
            if round % 2 == 0 {
                bytes.iter_mut().take(4).for_each(|byte| *byte = 0xff); // What a finished state looks like.
            }
            let (wait, word) = (W::read_from_bytes(&bytes).unwrap(), AtomicU32::new(0));
            let start = Instant::now();
            for _ in 0..3 {
                wait.wait(Word::whole(&word), 0, Deadline::after(Duration::from_micros(200)));
                wait.wait(Word::whole(&word), 1, Deadline::after(SOON));
                wait.wake(Word::whole(&word), 1);
                wait.wake(Word::whole(&word), 1_000);
            }
            assert!(start.elapsed() < Duration::from_secs(5), "{bytes:x?}");
        }
    }));
}
