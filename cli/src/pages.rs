//! `shmsync completions` and `shmsync man`: what is made of the same description of the commands as `--help`.

use crate::{Cli, Failure};
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use roff::{Roff, roman};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const AFTER_COMPLETIONS: &str = "\
Exit codes:
  0  it is printed
  2  a wrong option

Examples:
  shmsync completions bash > ~/.local/share/bash-completion/completions/shmsync
  shmsync completions zsh > ~/.zfunc/_shmsync
  shmsync completions fish > ~/.config/fish/completions/shmsync.fish";

/// Prints completions for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_COMPLETIONS)]
pub(crate) struct CompletionArgs {
    /// For which shell
    shell: Shell,
}

const AFTER_MAN: &str = "\
Exit codes:
  0  it is printed, or all are written
  2  a wrong option, or a directory that cannot be written to

Examples:
  shmsync man | man -l -
  shmsync man lock | man -l -
  shmsync man --out ~/.local/share/man/man1";

/// Prints a manual page, or writes all of them.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_MAN)]
pub(crate) struct ManArgs {
    /// Of which command; of the tool itself unless given
    command: Option<String>,

    /// Write the pages of all commands into DIR
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    out: Option<PathBuf>,
}

pub(crate) fn completions(args: &CompletionArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "shmsync", &mut script);
    written(io::stdout().write_all(&script))
}

pub(crate) fn man(args: &ManArgs) -> Result<(), Failure> {
    let mut cli = Cli::command().disable_help_subcommand(true);
    cli.build();
    if let Some(directory) = &args.out {
        return write_all(cli, directory).map_err(|error| refused(&format!("{}: {error}", directory.display())));
    }
    let of = match &args.command {
        None => cli,
        // It knows by now that it is called `shmsync-lock`, and used as `shmsync lock`.
        Some(name) => {
            cli.find_subcommand(name).ok_or_else(|| refused(&format!("there is no command {name:?}")))?.clone()
        }
    };
    written(page(of).and_then(|page| io::stdout().write_all(&page)))
}

fn write_all(cli: Command, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let commands: Vec<_> = cli.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    for command in commands.into_iter().chain([cli]) {
        let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
        fs::write(directory.join(format!("{name}.1")), page(command)?)?;
    }
    Ok(())
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let (mut page, after) = (Vec::new(), command.get_after_help().map(ToString::to_string));
    let (has_commands, has_version) = (command.has_subcommands(), command.get_version().is_some());
    let man = Man::new(command);
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    page.extend(after.map(|text| sections(&text)).unwrap_or_default().into_bytes());
    if has_version {
        man.render_version_section(&mut page)?;
    }
    Ok(page)
}

/// What stands after `--help`, as a manual page has it: `Exit codes:` and `Examples:` are sections, and indented lines stay
/// as they are.
fn sections(after_help: &str) -> String {
    let mut all = Roff::new();
    let mut as_it_is = false;
    for line in after_help.lines() {
        let indented = line.starts_with("  ");
        if indented != as_it_is {
            all.control(if indented { "nf" } else { "fi" }, []);
            as_it_is = indented;
        }
        match line.strip_suffix(':') {
            Some("Examples") => all.control("SH", ["EXAMPLES"]),
            Some(codes) if codes.starts_with("Exit codes") => all.control("SH", ["EXIT STATUS"]),
            _ if line.is_empty() => all.control("PP", []),
            _ => all.text([roman(line.trim_start())]),
        };
    }
    all.control("fi", []).to_roff()
}

fn refused(why: &impl ToString) -> Failure {
    Failure::Refused(why.to_string())
}

/// A reader that has seen enough is no failure.
fn written(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(refused(&error)),
        _ => Ok(()),
    }
}
