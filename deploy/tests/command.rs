//! The program as it is typed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sha2::{Digest, Sha256};
use tar::{Builder, Header};

const FAST: [&str; 2] = ["--level", "1"];

fn deploy(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deploy"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A root filesystem with a few megabytes that do not compress.
fn archive(dir: &Path) -> PathBuf {
    let mut builder = Builder::new(Vec::new());
    let mut noise = 1u64;
    for number in 0..40 {
        let bytes: Vec<u8> = (0..100_000)
            .map(|_| {
                // xorshift64*
                noise ^= noise >> 12;
                noise ^= noise << 25;
                noise ^= noise >> 27;
                (noise.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 56) as u8
            })
            .collect();
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_uid(number);
        header.set_gid(7);
        header.set_mtime(1_600_000_000 + number);
        let name = format!("dir/file-{number}");
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    let path = dir.join("root.tar");
    fs::write(&path, builder.into_inner().unwrap()).unwrap();
    path
}

fn hex(bytes: &[u8]) -> String {
    let sum = Sha256::digest(bytes);
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_dry_run_says_every_stage_and_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dist = dir.path().join("dist");
    let dist_text = dist.to_str().unwrap();
    for (arguments, expected) in [
        (&["blueprint"][..], "nothing to read"),
        (&["directory", "/tmp"], "read `/tmp`"),
        (&["tarball", "/none.tar"], "read `/none.tar`"),
        (
            &["debian", "--suite", "trixie", "--include", "perl,vim"],
            "--include=perl,vim -- trixie -`",
        ),
        (
            &["alpine", "--mirror", "http://m/a/"],
            "download `http://m/a/v3.",
        ),
        (&["oci", "/none"], "read `/none`"),
    ] {
        let arguments = [arguments, &["--dry-run", "--out", dist_text]].concat();
        let output = deploy(&arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let lines = out(&output);
        assert_eq!(lines.lines().count(), 6, "{lines}");
        assert!(lines.contains(expected), "{lines}");
        assert_eq!(err(&output), "");
    }
    assert!(!dist.exists());
}

#[test]
fn what_makes_no_sense_is_said_in_one_line() {
    for (arguments, expected) in [
        (&["debain"][..], "unknown distribution `debain`"),
        (&["tarball"], "is made from a tar archive; name it"),
        (&["blueprint", "x"], "leave out what follows"),
        (
            &["blueprint", "--mirror", "http://m"],
            "takes no `--mirror`",
        ),
        (&["alpine", "--suite", "x"], "takes no `--suite`"),
        (&["tarball", "x.tar", "--tag", "x"], "takes no `--tag`"),
        (&["tarball", "x.tar", "--sha256", "12"], "is no SHA-256"),
        (
            &["tarball", "x.tar", "--from", "y.tar"],
            "cannot be used with",
        ),
        (&["tarball", "/tmp"], "is not a file"),
        (&["blueprint", "--level", "10"], "no compression level 10"),
        (&["blueprint", "--name", "../x"], "cannot name an image"),
    ] {
        for dry in [&[][..], &["--dry-run"]] {
            let output = deploy(&[arguments, dry].concat()).output().unwrap();
            assert_eq!(output.status.code(), Some(125), "{arguments:?}");
            let line = err(&output);
            assert!(line.starts_with("error: "), "{line}");
            assert!(line.contains(expected), "{line}");
            assert_eq!(line.lines().count(), 1, "{line}");
        }
    }
}

#[test]
fn a_host_without_mmdebstrap_is_told_how_to_get_it() {
    let dir = tempfile::tempdir().unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Everything but that program.
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    for dir in std::env::split_paths(&path) {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_name() != "mmdebstrap" {
                let link = bin.join(entry.file_name());
                let _ = std::os::unix::fs::symlink(entry.path(), link);
            }
        }
    }
    let distributions = Path::new(env!("CARGO_MANIFEST_DIR")).join("distributions");
    // Under a name of its own, of which no archive is kept.
    let file = dir.path().join("never-made.yaml");
    fs::copy(distributions.join("debian.yaml"), file).unwrap();
    let dist = dir.path().join("dist");
    let output = deploy(&["never-made", "--distributions"])
        .arg(dir.path())
        .arg("--out")
        .arg(&dist)
        .env("PATH", bin)
        .env("CARGO", cargo)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125), "{}", err(&output));
    let text = err(&output);
    let last = text.lines().last().unwrap();
    assert!(
        last.contains("`apt-get install mmdebstrap uidmap`"),
        "{last}"
    );
    assert!(!dist.exists());
}

#[test]
fn a_build_that_is_killed_anywhere_is_simply_started_again() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archive(dir.path());
    let dist = dir.path().join("dist");
    let image = dist.join("killed.flatimage");
    let build = || {
        let mut command = deploy(&["tarball", "--name", "killed"]);
        command.args(FAST).arg("--out").arg(&dist).arg(&archive);
        command
    };
    let mut found = Vec::new();
    // A line for each stage that is done; behind the fifth the image is there.
    for lines in 1..=5 {
        let mut child = build()
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let seen = stderr.lines().take(lines).map_while(Result::ok).count();
        assert_eq!(seen, lines);
        child.kill().unwrap();
        child.wait().unwrap();
        if image.exists() {
            found.push(hex(&fs::read(&image).unwrap()));
        }
    }
    let output = build().output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let sum = hex(&fs::read(&image).unwrap());
    // Whatever was there was all of it.
    assert!(found.iter().all(|found| *found == sum));
    let line = fs::read_to_string(dist.join("killed.flatimage.sha256sum")).unwrap();
    assert_eq!(line, format!("{sum}  killed.flatimage\n"));
    let names: Vec<_> = fs::read_dir(&dist)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn the_same_archive_gives_the_same_image_wherever_whenever_and_however() {
    let dir = tempfile::tempdir().unwrap();
    let archive = archive(dir.path());
    let build = |name: &str, shell: &str, variables: &[(&str, &str)]| {
        let (dist, place) = (dir.path().join(name), dir.path().join(format!("{name} of")));
        fs::create_dir(&place).unwrap();
        let copy = place.join("root.tar");
        fs::copy(&archive, &copy).unwrap();
        let mut command = Command::new("sh");
        command.args([
            "-c",
            shell,
            env!("CARGO_BIN_EXE_deploy"),
            "tarball",
            "--name",
            name,
        ]);
        command.args(FAST).arg("--out").arg(&dist).arg(&copy);
        command.current_dir(&place).envs(variables.iter().copied());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let image = dist.join(format!("{name}.flatimage"));
        hex(&fs::read(image).unwrap())
    };
    let here = "umask 022; exec \"$0\" \"$@\"";
    let there = "umask 077; exec nice \"$0\" \"$@\"";
    let locale = [
        ("LC_ALL", "C.UTF-8"),
        ("LANG", "tr_TR.UTF-8"),
        ("TZ", "Asia/Tokyo"),
    ];
    let one = build("one", here, &[("LC_ALL", "C"), ("TZ", "UTC")]);
    assert_eq!(build("two", there, &locale), one);
}

#[test]
fn the_variables_of_a_build_are_read_and_checked() {
    let plan = |name: &str, value: &str| {
        let mut command = deploy(&["blueprint", "--dry-run"]);
        command.env(name, value).output().unwrap()
    };
    assert!(out(&plan("FIM_RESERVED_SIZE", "8388608")).contains("8.4 MB for settings"));
    assert!(plan("FIM_DIST", "My-Own_1.2").status.success());
    for (name, value, expected) in [
        ("FIM_RESERVED_SIZE", "4M", "FIM_RESERVED_SIZE is `4M`"),
        ("FIM_RESERVED_SIZE", "4097", "cannot have 4097 bytes"),
        ("FIM_DIST", "../x", "the distribution cannot be `../x`"),
        ("FIM_DIST", "", "the distribution cannot be ``"),
    ] {
        let output = plan(name, value);
        let line = err(&output);
        assert_eq!(output.status.code(), Some(125), "{line}");
        assert!(
            line.contains(expected) && line.lines().count() == 1,
            "{line}"
        );
    }
}
