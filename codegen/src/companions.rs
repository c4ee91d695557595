//! What an image can be accompanied by on a system: completions for shells, and manual pages. They follow from the
//! commands that the program itself parses with, and are written for the name that the image has there.

use std::io;

use clap_complete::{Shell, generate};
use clap_mangen::Man;
use flatimage_reserved::declared::cli;

/// A file and what stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Companion {
    /// Name of the file.
    pub file: String,
    /// Its text.
    pub text: Vec<u8>,
}

/// Completions for bash, zsh and fish, a manual page of the image, and one of each of its commands.
///
/// # Errors
/// What writing to memory answers.
pub fn companions(image: &str) -> io::Result<Vec<Companion>> {
    let mut files: Vec<Companion> = [
        (Shell::Bash, format!("{image}.bash")),
        (Shell::Zsh, format!("_{image}")),
        (Shell::Fish, format!("{image}.fish")),
    ]
    .map(|(shell, file)| completion(image, shell, file))
    .into();
    let program = cli()
        .name(image.to_owned())
        .about("one executable file with a Linux root filesystem, settings and a program");
    files.push(manual(image, program.clone())?);
    for command in program.get_subcommands() {
        files.push(manual(
            &format!("{image}-{}", command.get_name()),
            command.clone(),
        )?);
    }
    Ok(files)
}

fn completion(image: &str, shell: Shell, file: String) -> Companion {
    let mut text = Vec::new();
    generate(shell, &mut cli().name(image.to_owned()), image, &mut text);
    Companion { file, text }
}

fn manual(name: &str, command: flatimage_reserved::clap::Command) -> io::Result<Companion> {
    let mut text = Vec::new();
    Man::new(command.name(name.to_owned())).render(&mut text)?;
    Ok(Companion {
        file: format!("{name}.1"),
        text,
    })
}
