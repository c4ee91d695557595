//! Servers on this host, good and bad, for the tests of whoever fetches from one.
#![allow(dead_code, reason = "every test program uses a part of this")]

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, Sender, channel};

pub mod tls;

/// How a server treats the requests for a file, in turn. The last one counts for all that follow.
#[derive(Clone, Debug)]
pub enum Way {
    /// Gives what is asked for.
    Good,
    /// Passes over that only a part is wanted.
    Whole,
    /// Ends the connection after so many bytes.
    Cut(usize),
    /// Gives other bytes.
    Lies,
    /// Says that there are so many bytes fewer than there are.
    Hides(usize),
    /// Goes on for ever, and says nothing about it.
    Endless,
    /// Answers with this line and nothing else.
    Says(&'static str),
    /// Says that the file is there.
    Redirects(String),
    /// Says nothing until the client has gone.
    Stalls,
    /// Gives one byte in a packet.
    Drips,
    /// Gives the file under this tag, and ends the connection after so many bytes.
    Tagged(&'static str, usize),
}

/// A file, and how it is served.
pub struct Served {
    /// Its path, with a slash in front.
    pub path: String,
    pub content: Vec<u8>,
    pub ways: Vec<Way>,
}

/// A request that a server got.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    pub path: String,
    /// The first byte that was wanted.
    pub start: Option<u64>,
    /// The version that the bytes before it are of.
    pub version: Option<String>,
}

/// A server, until the test program ends.
pub struct Server {
    /// Its address, without a slash at the end.
    pub url: String,
    pub asked: Receiver<Asked>,
}

/// A file that is served well.
pub fn good(path: &str, content: impl Into<Vec<u8>>) -> Served {
    served(path, content, &[Way::Good])
}

pub fn served(path: &str, content: impl Into<Vec<u8>>, ways: &[Way]) -> Served {
    Served {
        path: path.to_owned(),
        content: content.into(),
        ways: ways.to_vec(),
    }
}

/// Serves these files; there are no others.
pub fn serve(files: Vec<Served>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, asked) = channel();
    let mut site = Site::new(files, tell);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = stream.set_nodelay(true);
            // The client may go, as it may.
            let _ = site.answer(stream);
        }
    });
    Server { url, asked }
}

impl Server {
    /// The paths that were asked for, in order.
    pub fn paths(&self) -> Vec<String> {
        self.asked.try_iter().map(|asked| asked.path).collect()
    }
}

/// The files of a server.
struct Site {
    files: HashMap<String, (Vec<u8>, Vec<Way>)>,
    tell: Sender<Asked>,
}

impl Site {
    fn new(files: Vec<Served>, tell: Sender<Asked>) -> Site {
        let files = files.into_iter().map(|file| {
            let mut ways = file.ways;
            // The next one is the last.
            ways.reverse();
            (file.path, (file.content, ways))
        });
        Site {
            files: files.collect(),
            tell,
        }
    }

    fn answer(&mut self, mut stream: impl Read + Write) -> io::Result<()> {
        let asked = request(&mut stream)?;
        let found = self.files.get_mut(&asked.path).map(|(content, ways)| {
            let way = match ways.len() {
                1 => ways.last().cloned(),
                _ => ways.pop(),
            };
            (&content[..], way.unwrap())
        });
        let start = asked.start.map(|start| start as usize);
        let version = asked.version.clone();
        // Nobody may want to know.
        let _ = self.tell.send(asked);
        match found {
            Some((content, way)) => {
                let same = match (&way, &version) {
                    (Way::Tagged(tag, _), Some(version)) => tag == version,
                    _ => true,
                };
                answer(stream, content, &way, start.filter(|_| same))
            }
            None => only(stream, "404 Not Found", ""),
        }
    }
}

fn request(stream: &mut impl Read) -> io::Result<Asked> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let field = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let start = field("range").and_then(|range| {
        let place = range.strip_prefix("bytes=")?.trim_end_matches('-');
        place.parse().ok()
    });
    Ok(Asked {
        path: head.split(' ').nth(1).unwrap_or_default().to_owned(),
        start,
        version: field("if-range"),
    })
}

fn only(mut out: impl Write, status: &str, fields: &str) -> io::Result<()> {
    write!(
        out,
        "HTTP/1.1 {status}\r\n{fields}Content-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    out.flush()
}

fn answer(
    mut out: impl Read + Write,
    content: &[u8],
    way: &Way,
    start: Option<usize>,
) -> io::Result<()> {
    let all = content.len();
    match way {
        Way::Says(status) => return only(out, status, ""),
        Way::Redirects(to) => return only(out, "302 Found", &format!("Location: {to}\r\n")),
        Way::Stalls => return out.read_to_end(&mut Vec::new()).map(drop),
        Way::Endless => {
            out.write_all(b"HTTP/1.1 200 ok\r\nConnection: close\r\n\r\n")?;
            loop {
                out.write_all(&[b'!'; 4096])?;
            }
        }
        _ => {}
    }
    let start = start.filter(|_| !matches!(way, Way::Whole | Way::Lies));
    let mut body = match way {
        Way::Lies => vec![b'!'; all],
        _ => content
            .get(start.unwrap_or(0)..)
            .unwrap_or_default()
            .to_vec(),
    };
    let status = match start {
        Some(start) if start >= all => {
            let range = format!("Content-Range: bytes */{all}\r\n");
            return only(out, "416 no", &range);
        }
        Some(start) => format!("206 ok\r\nContent-Range: bytes {start}-{}/{all}", all - 1),
        None => "200 ok".to_owned(),
    };
    let tag = match way {
        Way::Tagged(tag, _) => format!("ETag: {tag}\r\n"),
        _ => String::new(),
    };
    let length = match way {
        Way::Hides(bytes) => body.len() - bytes,
        _ => body.len(),
    };
    write!(
        out,
        "HTTP/1.1 {status}\r\n{tag}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    match way {
        Way::Cut(length) | Way::Tagged(_, length) => body.truncate(*length),
        Way::Drips => {
            for byte in &body {
                out.write_all(&[*byte])?;
                out.flush()?;
            }
            return Ok(());
        }
        _ => {}
    }
    out.write_all(&body)?;
    out.flush()
}
