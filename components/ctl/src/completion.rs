//! What a shell needs to complete commands: made from the commands themselves, so that it knows them all.
//!
//! Both scripts are one table from what was typed so far, without what may vary, to what may follow.

use std::fmt::Write as _;

use clap::CommandFactory as _;

use crate::args::{CommandLine, Shell};

/// The script for a shell.
pub(crate) fn script(shell: Shell) -> String {
    let mut command = CommandLine::command();
    command.build();
    let mut lines = Vec::new();
    add(&command, "", &mut lines);
    let paths: Vec<&str> = lines.iter().map(|(path, _)| path.as_str()).collect();
    let mut cases = String::new();
    for (path, words) in &lines {
        let _ = writeln!(cases, "        '{path}') words='{words}' ;;");
    }
    let known: Vec<String> = paths[1..].iter().map(|path| format!("'{path}'")).collect();
    let script = BASH.replace("@KNOWN@", &known.join("|")).replace("@CASES@", cases.trim_end());
    match shell {
        Shell::Bash => script,
        Shell::Zsh => format!("autoload -U +X bashcompinit && bashcompinit\n{script}"),
    }
}

/// A command with the words that may follow it, and then those below it.
fn add(command: &clap::Command, path: &str, lines: &mut Vec<(String, String)>) {
    let below = || command.get_subcommands().filter(|below| below.get_name() != "help");
    let mut words: Vec<String> = below().map(|below| below.get_name().to_owned()).collect();
    for argument in command.get_arguments() {
        words.extend(argument.get_long().map(|name| format!("--{name}")));
        // What a flag may be is not told: the word before it would have to be looked at.
        if argument.is_positional() {
            let values = argument.get_possible_values();
            words.extend(values.iter().map(|value| value.get_name().to_owned()));
        }
    }
    lines.push((path.to_owned(), words.join(" ")));
    for below in below() {
        let space = if path.is_empty() { "" } else { " " };
        add(below, &format!("{path}{space}{}", below.get_name()), lines);
    }
}

const BASH: &str = r#"_tinykv_ctl() {
    local word path='' words=''
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$path${path:+ }$word" in
            @KNOWN@) path="$path${path:+ }$word" ;;
        esac
    done
    case "$path" in
@CASES@
    esac
    COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _tinykv_ctl tinykv-ctl
"#;

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn every_command_and_flag_is_completed() {
        for shell in [Shell::Bash, Shell::Zsh] {
            let script = script(shell);
            for line in
                ["'txn') words='get put delete scan", "bash zsh", "transfer-leader", "--safe-point"]
            {
                assert!(script.contains(line), "{line} is not in\n{script}");
            }
        }
    }

    #[test]
    fn bash_completes_by_it() {
        let ask =
            r#"COMP_WORDS=(tinykv-ctl txn ""); COMP_CWORD=2; _tinykv_ctl; echo "${COMPREPLY[@]}""#;
        let script = format!("set -eu; {}\n{ask}", script(Shell::Bash));
        let answer = Command::new("bash").args(["-c", &script]).output().expect("there is a bash");
        let words = String::from_utf8(answer.stdout).unwrap();
        assert!(answer.status.success() && words.starts_with("get put delete scan"), "{words}");
    }
}
