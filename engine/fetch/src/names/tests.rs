//! Names are found where the host says, and answers are not believed blindly.

use std::net::TcpListener;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// An answer to `question` with these flags and records, each a kind and its data, to the name that was asked for.
fn reply(question: &[u8], flags: u16, records: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = question.to_vec();
    bytes[2..4].copy_from_slice(&(0x8180 | flags).to_be_bytes());
    bytes[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    for (kind, data) in records {
        bytes.extend([0xc0, 12]);
        for field in [*kind, 1, 0, 60, data.len() as u16] {
            bytes.extend(field.to_be_bytes());
        }
        bytes.extend(*data);
    }
    bytes
}

fn is_v6(question: &[u8]) -> bool {
    question[question.len() - 4..] == [0, 28, 0, 1]
}

/// A server that knows `app.example` and, by a stream only, `large.example`. It first answers what nobody has asked.
fn server() -> SocketAddr {
    let (socket, listener) = loop {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()) {
            break (socket, listener);
        }
    };
    let address = socket.local_addr().unwrap();
    let has = |question: &[u8], name: &str| {
        let text = String::from_utf8_lossy(question).into_owned();
        text.contains(name)
    };
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let question = &buffer[..length];
            let records: &[(u16, &[u8])] = match is_v6(question) {
                false => &[(5, &[1, b'x', 0]), (1, &[192, 0, 2, 7])],
                true => &[(
                    28,
                    &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7],
                )],
            };
            let flags = match question {
                question if has(question, "large") => 0x200,
                question if has(question, "broken") => 2,
                question if has(question, "app\u{7}example") => 0,
                _ => 3,
            };
            let mut late = reply(question, 0, records);
            late[0] ^= 1;
            let records = if flags == 0 { records } else { &[] };
            for answer in [late, reply(question, flags, records)] {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut question = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut question).unwrap();
            let records: &[(u16, &[u8])] = &[(1, &[192, 0, 2, 8])];
            let answer = reply(&question, 0, if is_v6(&question) { &[] } else { records });
            let length = answer.len() as u16;
            stream
                .write_all(&[&length.to_be_bytes(), &answer[..]].concat())
                .unwrap();
        }
    });
    address
}

fn names(hosts: &str, servers: Vec<SocketAddr>) -> Names {
    let names = Names::of(hosts.to_owned(), "search example", PATIENCE);
    Names { servers, ..names }
}

fn texts(found: io::Result<Vec<IpAddr>>) -> Vec<String> {
    found.unwrap().iter().map(IpAddr::to_string).collect()
}

#[test]
fn hosts_and_addresses_need_no_server() {
    let nobody = names(
        "# a comment\n192.0.2.1 one.example One # two\n::2 two\n",
        Vec::new(),
    );
    for (host, expected) in [
        ("one", &["192.0.2.1"][..]),
        ("ONE.example.", &["192.0.2.1"]),
        ("two", &["::2"]),
        ("192.0.2.9", &["192.0.2.9"]),
        ("[::9]", &["::9"]),
        ("localhost", &["127.0.0.1", "::1"]),
    ] {
        assert_eq!(texts(nobody.find(host)), expected, "{host}");
    }
}

#[test]
fn servers_are_asked_for_addresses_of_both_kinds() {
    let asked = names("", vec![server()]);
    let both = ["192.0.2.7", "2001:db8::7"];
    assert_eq!(texts(asked.find("app.example")), both);
    assert_eq!(
        texts(asked.find("app")),
        both,
        "in the domain that is searched"
    );
    assert_eq!(texts(asked.find("large.example")), ["192.0.2.8"]);
    assert!(texts(asked.find("unknown.example")).is_empty());
    assert!(texts(asked.find(&"a".repeat(64))).is_empty());
    assert!(texts(asked.find(&"a.".repeat(200))).is_empty());
    assert!(asked.find("broken.example").is_err());
}

#[test]
fn the_next_server_is_asked_when_one_does_not_answer() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let closed = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let asked = names("", vec![closed, server()]);
    assert_eq!(texts(asked.find("app.example")).len(), 2);
    let impatient = Names {
        patience: Duration::from_millis(50),
        ..names("", vec![silent.local_addr().unwrap()])
    };
    let error = impatient.find("app.example").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn what_the_host_says_is_read() {
    let resolv = "# nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver ::3\nnameserver nonsense\n\
        domain a\nsearch c d\n";
    let read = Names::of(String::new(), resolv, PATIENCE);
    assert_eq!(
        read.servers,
        ["192.0.2.2:53".parse().unwrap(), "[::3]:53".parse().unwrap()]
    );
    assert_eq!(read.search, ["c", "d"]);
    let none = Names::of(String::new(), "", PATIENCE);
    assert_eq!(none.servers, ["127.0.0.1:53".parse().unwrap()]);
}

#[test]
fn no_answer_makes_it_panic() {
    let question = message::question([1, 2], "app.example", Kind::V4).unwrap();
    let sound = reply(&question, 0, &[(1, &[192, 0, 2, 7]), (5, b"\x01x\x00")]);
    let expected = Answer::Addresses(vec!["192.0.2.7".parse().unwrap()]);
    assert_eq!(message::answer(&sound, &question).unwrap(), expected);
    for length in 0..sound.len() {
        assert!(
            message::answer(&sound[..length], &question).is_err(),
            "{length}"
        );
    }
    for at in 0..sound.len() {
        for bit in 0..8 {
            let mut damaged = sound.clone();
            damaged[at] ^= 1 << bit;
            let _ = message::answer(&damaged, &question);
        }
    }
    let other = message::question([1, 2], "evil.example", Kind::V4).unwrap();
    assert!(message::answer(&reply(&other, 0, &[]), &question).is_err());
}
