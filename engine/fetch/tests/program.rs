//! `fim-fetch`, as an image runs it.

mod server;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use server::{Way, good, served, tls};

/// Runs it with these fields, and `trusted` as the only certificates.
fn run(fields: &[&str], trusted: Option<&Path>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fim-fetch"));
    command
        .env_remove("SSL_CERT_DIR")
        .env_remove("SSL_CERT_FILE");
    command.envs(trusted.map(|trusted| ("SSL_CERT_FILE", trusted)));
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = pipes.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for field in fields {
        stdin.write_all(field.as_bytes()).unwrap();
        stdin.write_all(&[0]).unwrap();
    }
    // While a request is complete, somebody waits for as long as the pipe is open.
    let waits = (fields.len() == 5).then_some(stdin);
    let output = child.wait_with_output().unwrap();
    drop(waits);
    output
}

#[test]
fn nothing_is_fetched_for_nobody() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("a");
    let server = server::serve(vec![served("/a", "abc", &[Way::Stalls])]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_fim-fetch"))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let url = format!("{}/a", server.url);
    let fields = [&url, file.to_str().unwrap(), "9", "600", ""];
    let request = fields.map(|field| format!("{field}\0")).concat();
    stdin.write_all(request.as_bytes()).unwrap();
    server.asked.recv().unwrap();
    assert!(child.try_wait().unwrap().is_none());
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

fn line(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn a_request_is_answered_with_progress_and_a_file() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("a\nname");
    let server = server::serve(vec![good("/a", "abc")]);
    let url = format!("{}/a", server.url);
    let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    for sum in ["", sum] {
        let output = run(&[&url, file.to_str().unwrap(), "3", "5", sum], None);
        assert_eq!(
            (output.status.code(), &output.stderr[..]),
            (Some(0), &b""[..])
        );
        assert_eq!(output.stdout, b"3 3\n");
        assert_eq!(fs::read(&file).unwrap(), b"abc");
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn hosts_have_names() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("a");
    let server = server::serve(vec![good("/a", "abc")]);
    let get = |host: &str| {
        let url = format!("{}/a", server.url.replace("127.0.0.1", host));
        run(&[&url, file.to_str().unwrap(), "3", "5", ""], None)
    };
    assert!(get("localhost").status.success());
    // Nobody has a name with an empty part.
    let told = line(&get("no..host"));
    assert!(told.contains("host not found"), "{told}");
}

#[test]
fn what_is_missing_is_told_from_what_went_wrong() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("a");
    let lies = served("/a", "abc", &[Way::Good]);
    let server = server::serve(vec![lies]);
    let get = |path: &str, sum: &str| {
        let url = format!("{}{path}", server.url);
        run(&[&url, file.to_str().unwrap(), "9", "5", sum], None)
    };
    let missing = get("/b", "");
    assert_eq!(missing.status.code(), Some(3));
    assert!(line(&missing).contains("404"));
    let other = get("/a", &"0".repeat(64));
    assert_eq!(other.status.code(), Some(1));
    assert!(line(&other).contains("and not 0000"));
    let unwritable = run(
        &[&format!("{}/a", server.url), "/no/such/dir", "9", "5", ""],
        None,
    );
    assert!(line(&unwritable).contains("cannot create `/no/such/dir`: No such file"));
    for nonsense in [
        &[][..],
        &["a"],
        &["a", "b", "c", "d", ""],
        &["a", "b", "1", "1", "x"],
    ] {
        let output = run(nonsense, None);
        assert_eq!(output.status.code(), Some(1));
        line(&output);
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn who_vouches_for_a_server_is_what_the_variables_name_and_nobody_else() {
    let place = tempfile::tempdir().unwrap();
    let (file, trusted) = (place.path().join("a"), place.path().join("trusted.pem"));
    let plain = server::serve(vec![good("/a", "plain")]);
    let leaves = served("/leaves", "", &[Way::Redirects(format!("{}/a", plain.url))]);
    let (server, authority) = tls::serve(vec![good("/a", "abc"), leaves]);
    fs::write(&trusted, authority).unwrap();
    let get = |path: &str, sum: &str, trusted: Option<&Path>| {
        let url = format!("{}{path}", server.url);
        run(&[&url, file.to_str().unwrap(), "9", "5", sum], trusted)
    };
    let output = get("/a", "", Some(&trusted));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(fs::read(&file).unwrap(), b"abc");
    fs::remove_file(&file).unwrap();
    let empty = place.path().join("empty.pem");
    fs::write(&empty, "").unwrap();
    for trusted in [None, Some(&*empty), Some(Path::new("/no/such/file"))] {
        let told = line(&get("/a", "", trusted));
        assert!(told.contains("certificate"), "{told}");
    }
    // From a connection that vouches to one that does not only when there is a sum.
    let told = line(&get("/leaves", "", Some(&trusted)));
    assert!(told.contains("not encrypted"), "{told}");
    let sum = "a116c9ed46d6207734a43317d30fd88f52ac8634c37d904bbf4e41d865f90475";
    let output = get("/leaves", sum, Some(&trusted));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read(&file).unwrap(), b"plain");
}
