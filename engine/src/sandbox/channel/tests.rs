//! Messages, sent and received.

use super::*;
use std::fs::File;
use std::io::Read;

#[test]
fn messages_arrive_whole_and_with_their_descriptor() {
    let (one, other) = Channel::pair().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, "contents").unwrap();
    one.send(&Message::Fuse(File::open(&path).unwrap().into()))
        .unwrap();
    one.send(&Message::Failed {
        code: 127,
        text: "no `x`".into(),
    })
    .unwrap();
    drop(one);
    let Some(Message::Fuse(fd)) = other.receive().unwrap() else {
        panic!("no descriptor")
    };
    let mut text = String::new();
    File::from(fd).read_to_string(&mut text).unwrap();
    assert_eq!(text, "contents");
    let Some(Message::Failed { code: 127, text }) = other.receive().unwrap() else {
        panic!("no failure")
    };
    assert_eq!(text, "no `x`");
    assert!(other.receive().unwrap().is_none());
}

#[test]
fn the_last_words_of_who_did_not_listen_are_heard() {
    let (one, other) = Channel::pair().unwrap();
    other.send(&Message::Registered).unwrap();
    one.send(&Message::Ended { code: 7 }).unwrap();
    drop(one);
    let last = other.receive().unwrap();
    assert!(matches!(last, Some(Message::Ended { code: 7 })), "{last:?}");
    assert!(other.receive().unwrap().is_none());
}
