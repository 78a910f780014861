//! `--help`, completions and manual pages: every command says what its exit codes are, and shows how it is used.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

mod support;

use support::*;

const COMMANDS: [&str; 12] =
    ["ls", "inspect", "recover", "rm", "gc", "lock", "sem", "doctor", "bench", "storm", "completions", "man"];

#[test]
fn every_command_explains_itself() {
    let all = succeeds(&["--help"]);
    for command in COMMANDS {
        assert!(all.contains(&format!("\n  {command} ")), "{command} in {all}");
        let help = succeeds(&[command, "--help"]);
        assert!(help.contains("Exit codes") && help.contains("Examples:"), "{command}: {help}");
        assert!(!help.contains("--supervisor"), "that is between processes of the tool");
        let page = succeeds(&["man", command]);
        assert!(
            page.contains(&format!("shmsync\\-{command}"))
                && page.contains(".SH \"EXIT STATUS\"")
                && page.contains(".SH EXAMPLES"),
            "{page}"
        );
    }
    for printing in ["ls", "inspect", "recover", "rm", "gc", "doctor", "bench", "storm"] {
        assert!(succeeds(&[printing, "--help"]).contains("--json"), "{printing}");
    }
}

#[test]
fn shells_learn_all_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = succeeds(&["completions", shell]);
        assert!(COMMANDS.iter().all(|command| script.contains(command)), "{shell}");
    }
    assert_eq!(code(&["completions", "cmd.exe"]), 2);
    let bash = std::process::Command::new("bash")
        .args(["-c", "source /dev/stdin && COMP_WORDS=(shmsync ins) COMP_CWORD=1 && _shmsync shmsync ins shmsync; echo ${COMPREPLY[@]}"])
        .stdin(tool(&["completions", "bash"]).stdout(std::process::Stdio::piped()).spawn().unwrap().stdout.unwrap())
        .output();
    match bash {
        Ok(done) => assert_eq!(String::from_utf8_lossy(&done.stdout).trim(), "inspect", "{done:?}"),
        Err(error) => eprintln!("skipped: no bash: {error}"),
    }
}

#[test]
fn all_manual_pages_are_written() {
    let directory = Directory::new("man");
    succeeds(&["man", "--out", directory.to_str().unwrap()]);
    let mut found: Vec<_> =
        std::fs::read_dir(&*directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    found.sort_unstable();
    let mut expected: Vec<_> = COMMANDS.iter().map(|command| format!("shmsync-{command}.1")).collect();
    expected.push(String::from("shmsync.1"));
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!((code(&["man", "nothing"]), code(&["man", "--out", "/proc/no"])), (2, 2));
}
