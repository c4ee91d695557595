//! Servers on this host, good and bad.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::*;

/// How a server treats the requests that it gets, in turn. The last one counts for all that follow.
#[derive(Clone, Copy)]
enum Way {
    /// Gives what is asked for.
    Good,
    /// Passes over that only a part is wanted.
    Whole,
    /// Ends the connection after so many bytes.
    Cut(usize),
    /// Gives other bytes.
    Lies,
    /// Answers with this line and nothing else.
    Says(&'static str),
    /// Says nothing until the client has gone.
    Stalls,
    /// Gives one byte in a packet.
    Drips,
}

/// A server of `content`. It tells of the place that each request wants.
struct Server {
    url: String,
    asked: Receiver<Option<u64>>,
}

fn serve(content: &[u8], ways: &[Way]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/dir/file.tar.gz", listener.local_addr().unwrap());
    let (content, ways) = (content.to_vec(), ways.to_vec());
    let (tell, asked) = channel();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let way = ways[number.min(ways.len() - 1)];
            let start = request(&stream);
            if tell.send(start).is_err() {
                return;
            }
            // The client may have gone, as it may.
            let _ = answer(stream, &content, way, start);
        }
    });
    Server { url, asked }
}

/// The place that a request wants.
fn request(stream: &TcpStream) -> Option<u64> {
    let mut start = None;
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if line.is_empty() {
            break;
        }
        let line = line.to_ascii_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            start = range.trim_end_matches('-').parse().ok();
        }
    }
    start
}

fn answer(mut out: TcpStream, content: &[u8], way: Way, start: Option<u64>) -> io::Result<()> {
    let all = content.len();
    let mut body = match (way, start) {
        (Way::Lies, _) => vec![b'!'; all],
        (Way::Whole, _) => content.to_vec(),
        _ => content
            .get(start.unwrap_or(0) as usize..)
            .unwrap_or_default()
            .to_vec(),
    };
    let mut head = match start {
        Some(start) if start as usize >= all && !matches!(way, Way::Whole) => {
            body.clear();
            format!("HTTP/1.1 416 no\r\nContent-Range: bytes */{all}\r\n")
        }
        Some(start) if !matches!(way, Way::Whole | Way::Lies) => {
            format!(
                "HTTP/1.1 206 ok\r\nContent-Range: bytes {start}-{}/{all}\r\n",
                all - 1
            )
        }
        _ => "HTTP/1.1 200 ok\r\n".to_owned(),
    };
    head += &format!(
        "Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    match way {
        Way::Says(line) => {
            return write!(
                out,
                "HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
        Way::Stalls => {
            out.read_to_end(&mut Vec::new())?;
            return Ok(());
        }
        Way::Cut(length) => body.truncate(length),
        _ => {}
    }
    out.write_all(head.as_bytes())?;
    match way {
        Way::Drips => {
            out.set_nodelay(true)?;
            body.iter().try_for_each(|byte| out.write_all(&[*byte]))
        }
        _ => out.write_all(&body),
    }
}

fn content() -> Vec<u8> {
    (0..200_000u64).map(|at| ((at * at) >> 7) as u8).collect()
}

/// A place for downloads.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Bench {
        Bench(tempfile::tempdir().unwrap())
    }

    fn fetch(&self, url: &str) -> Result<Vec<u8>, String> {
        let client = Client::with_patience(Duration::from_millis(500));
        self.fetch_with(url, &client)
    }

    fn fetch_with(&self, url: &str, client: &Client) -> Result<Vec<u8>, String> {
        let sum = digest::of(&content());
        let wanted = Wanted { url, sum: &sum };
        let fetched = fetch(self.0.path(), wanted, client, &mut |_, _| ());
        let path = fetched.map_err(|error| error.to_string())?;
        Ok(fs::read(path).unwrap())
    }

    fn part(&self) -> PathBuf {
        let path = self.0.path().join(digest::hex(&digest::of(&content())));
        file::beside(&path)
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(self.0.path()).unwrap().next().is_none()
    }
}

#[test]
fn a_file_is_fetched_once() {
    let (bench, server) = (Bench::new(), serve(&content(), &[Way::Good]));
    assert_eq!(bench.fetch(&server.url).unwrap(), content());
    assert_eq!(bench.fetch(&server.url).unwrap(), content());
    assert_eq!(server.asked.try_iter().count(), 1);
    assert!(!bench.part().exists());
}

#[test]
fn a_download_that_is_cut_off_goes_on_where_it_ended() {
    let ways = [Way::Cut(1000), Way::Cut(0), Way::Cut(5000), Way::Good];
    let (bench, server) = (Bench::new(), serve(&content(), &ways));
    assert_eq!(bench.fetch(&server.url).unwrap(), content());
    let asked: Vec<_> = server.asked.try_iter().collect();
    assert_eq!(asked, [None, Some(1000), Some(1000), Some(6000)]);
}

#[test]
fn a_build_that_was_interrupted_goes_on_where_it_ended() {
    let bench = Bench::new();
    fs::write(bench.part(), &content()[..70_000]).unwrap();
    let server = serve(&content(), &[Way::Good]);
    assert_eq!(bench.fetch(&server.url).unwrap(), content());
    assert_eq!(server.asked.recv().unwrap(), Some(70_000));
    // It had all of it and had not yet said so.
    let bench = Bench::new();
    fs::write(bench.part(), content()).unwrap();
    assert_eq!(bench.fetch(&server.url).unwrap(), content());
}

#[test]
fn a_server_that_knows_no_parts_gives_the_whole() {
    let bench = Bench::new();
    fs::write(bench.part(), &content()[..70_000]).unwrap();
    let server = serve(&content(), &[Way::Whole]);
    assert_eq!(bench.fetch(&server.url).unwrap(), content());
}

#[test]
fn what_was_left_of_another_file_is_thrown_away() {
    for left in [vec![7; 70_000], vec![7; 300_000]] {
        let (bench, server) = (Bench::new(), serve(&content(), &[Way::Good]));
        fs::write(bench.part(), left).unwrap();
        assert_eq!(bench.fetch(&server.url).unwrap(), content());
    }
}

#[test]
fn a_server_that_lies_is_found_out_and_nothing_is_kept() {
    let (bench, server) = (Bench::new(), serve(&content(), &[Way::Lies]));
    let error = bench.fetch(&server.url).unwrap_err();
    let expected = digest::hex(&digest::of(&content()));
    assert!(error.contains(&format!("and not {expected};")), "{error}");
    assert!(
        error.contains("get `file.tar.gz` in another way"),
        "{error}"
    );
    assert!(bench.is_empty());
}

#[test]
fn a_server_that_has_nothing_is_asked_once_and_one_that_is_ill_again() {
    let gone = serve(&content(), &[Way::Says("404 Not Found")]);
    let error = Bench::new().fetch(&gone.url).unwrap_err();
    assert!(
        error.contains("404 Not Found; give another `--mirror`"),
        "{error}"
    );
    assert!(
        error.contains("`--from`") && !error.contains('\n'),
        "{error}"
    );
    assert_eq!(gone.asked.try_iter().count(), 1);
    let ill = serve(&content(), &[Way::Says("503 Later"), Way::Good]);
    assert_eq!(Bench::new().fetch(&ill.url).unwrap(), content());
}

#[test]
fn a_server_that_stalls_is_given_up_and_a_slow_one_is_not() {
    let stalls = serve(&content(), &[Way::Stalls]);
    let error = Bench::new().fetch(&stalls.url).unwrap_err();
    assert!(error.contains("cannot fetch"), "{error}");
    assert_eq!(stalls.asked.try_iter().count() as u32, TRIES);
    let slow = serve(&content(), &[Way::Drips]);
    let fetched = Bench::new().fetch_with(&slow.url, &Client::new());
    assert_eq!(fetched.unwrap(), content());
}

#[test]
fn without_a_network_the_file_to_give_is_named() {
    // Nobody listens there: the port was free a moment ago, and connecting to it is refused.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = Bench::new()
        .fetch(&format!("http://{port}/a/root.tar.xz"))
        .unwrap_err();
    assert!(
        error.contains("get `root.tar.xz` in another way"),
        "{error}"
    );
    assert!(!error.contains('\n'), "{error}");
    for url in ["ftp://127.0.0.1/x", "nonsense", ""] {
        assert!(Bench::new().fetch(url).is_err(), "{url}");
    }
}
