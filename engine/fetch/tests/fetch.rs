//! Files are fetched whole or not at all, whatever the server does.

mod server;

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use flatimage_fetch::{Client, PATIENCE, Sum, Wanted, fetch};
use server::{Server, Way, served};
use sha2::{Digest, Sha256};

const PATH: &str = "/dir/file.tar.gz";
const MOST: u64 = 1 << 20;

fn serve(content: &[u8], ways: &[Way]) -> (String, Server) {
    let server = server::serve(vec![served(PATH, content, ways)]);
    (format!("{}{PATH}", server.url), server)
}

fn starts(server: &Server) -> Vec<Option<u64>> {
    server.asked.try_iter().map(|asked| asked.start).collect()
}

fn content() -> Vec<u8> {
    (0..200_000u64).map(|at| ((at * at) >> 7) as u8).collect()
}

fn sum() -> Sum {
    Sha256::digest(content()).into()
}

/// A place for downloads.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Bench {
        Bench(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("file")
    }

    fn part(&self) -> PathBuf {
        self.0.path().join(".file.partial")
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(self.0.path()).unwrap().next().is_none()
    }

    /// The file with the sum of [`content`].
    fn fetch(&self, url: &str) -> Result<Vec<u8>, String> {
        self.get(url, Some(&sum()), Duration::from_millis(500))
    }

    /// Whatever the server has.
    fn trust(&self, url: &str) -> Result<Vec<u8>, String> {
        self.get(url, None, Duration::from_millis(500))
    }

    fn get(&self, url: &str, sum: Option<&Sum>, patience: Duration) -> Result<Vec<u8>, String> {
        let client = Client::with_patience(patience);
        let wanted = Wanted {
            url,
            sum,
            most: MOST,
        };
        let fetched = fetch(&self.file(), &wanted, &client, &mut |_, _| ());
        let fetched = fetched.map_err(|error| error.to_string());
        fetched
            .map(|()| fs::read(self.file()).unwrap())
            .inspect(|_| assert!(!self.part().exists()))
            .inspect_err(|line| assert!(!line.contains('\n') && !self.file().exists(), "{line}"))
    }
}

#[test]
fn a_file_is_fetched_once() {
    let (bench, (url, server)) = (Bench::new(), serve(&content(), &[Way::Good]));
    assert_eq!(bench.fetch(&url).unwrap(), content());
    assert_eq!(bench.fetch(&url).unwrap(), content());
    assert_eq!(starts(&server), [None]);
    // Unless it is no longer what it was, or nobody knows what it should be.
    fs::write(bench.file(), "damaged").unwrap();
    assert_eq!(bench.fetch(&url).unwrap(), content());
    assert_eq!(bench.trust(&url).unwrap(), content());
    assert_eq!(starts(&server).len(), 2);
}

#[test]
fn a_download_that_is_cut_off_goes_on_where_it_ended() {
    let ways = [Way::Cut(1000), Way::Cut(0), Way::Cut(5000), Way::Good];
    let (bench, (url, server)) = (Bench::new(), serve(&content(), &ways));
    assert_eq!(bench.fetch(&url).unwrap(), content());
    assert_eq!(starts(&server), [None, Some(1000), Some(1000), Some(6000)]);
}

#[test]
fn a_process_that_was_interrupted_is_gone_on_with_where_it_ended() {
    let (bench, (url, server)) = (Bench::new(), serve(&content(), &[Way::Good]));
    fs::write(bench.part(), &content()[..70_000]).unwrap();
    assert_eq!(bench.fetch(&url).unwrap(), content());
    assert_eq!(starts(&server), [Some(70_000)]);
    // It had all of it and had not yet said so.
    let bench = Bench::new();
    fs::write(bench.part(), content()).unwrap();
    assert_eq!(bench.fetch(&url).unwrap(), content());
}

#[test]
fn what_is_gone_on_with_without_a_sum_is_the_same_version() {
    let cut = [Way::Cut(1000), Way::Good];
    let (url, server) = serve(&content(), &cut);
    assert_eq!(Bench::new().trust(&url).unwrap(), content());
    assert_eq!(starts(&server), [None, None], "no tag, so nothing is known");
    let bench = Bench::new();
    fs::write(bench.part(), &content()[..70_000]).unwrap();
    assert_eq!(bench.trust(&url).unwrap(), content());
    assert_eq!(starts(&server), [None]);
    for (tag, start) in [("\"a\"", Some(1000)), ("W/\"a\"", None)] {
        let ways = [Way::Tagged(tag, 1000), Way::Tagged(tag, 200_000)];
        let (url, server) = serve(&content(), &ways);
        assert_eq!(Bench::new().trust(&url).unwrap(), content());
        assert_eq!(starts(&server), [None, start], "{tag}");
    }
    // Beginning anew is no progress.
    let (url, server) = serve(&content(), &[Way::Cut(1000)]);
    let error = Bench::new().trust(&url).unwrap_err();
    assert!(error.ends_with("it was cut off"), "{error}");
    assert_eq!(starts(&server), [None; 4]);
    // It has become another one meanwhile, and the server gives the whole of it.
    let ways = [Way::Tagged("\"a\"", 1000), Way::Tagged("\"b\"", 200_000)];
    let (url, server) = serve(&content(), &ways);
    assert_eq!(Bench::new().trust(&url).unwrap(), content());
    let versions: Vec<_> = server.asked.try_iter().map(|asked| asked.version).collect();
    assert_eq!(versions, [None, Some("\"a\"".to_owned())]);
}

#[test]
fn a_server_that_knows_no_parts_gives_the_whole() {
    let (bench, (url, _server)) = (Bench::new(), serve(&content(), &[Way::Whole]));
    fs::write(bench.part(), &content()[..70_000]).unwrap();
    assert_eq!(bench.fetch(&url).unwrap(), content());
}

#[test]
fn what_was_left_of_another_file_is_thrown_away() {
    for left in [vec![7; 70_000], vec![7; 300_000]] {
        let (bench, (url, _server)) = (Bench::new(), serve(&content(), &[Way::Good]));
        fs::write(bench.part(), left).unwrap();
        assert_eq!(bench.fetch(&url).unwrap(), content());
    }
}

#[test]
fn a_server_that_lies_is_found_out_and_nothing_is_kept() {
    for way in [Way::Lies, Way::Hides(10)] {
        let (bench, (url, _server)) = (Bench::new(), serve(&content(), &[way]));
        let error = bench.fetch(&url).unwrap_err();
        let expected = flatimage_fetch::hex(&sum());
        assert!(error.ends_with(&format!("and not {expected}")), "{error}");
        assert!(bench.is_empty());
    }
}

#[test]
fn a_file_that_is_too_large_is_not_taken_whether_the_server_says_so_or_not() {
    for (content, way) in [(vec![0; 1 << 21], Way::Good), (content(), Way::Endless)] {
        let (bench, (url, server)) = (Bench::new(), serve(&content, &[way]));
        for sum in [None, Some(&sum())] {
            let error = bench.get(&url, sum, PATIENCE).unwrap_err();
            assert!(error.contains("larger than 1048576 bytes"), "{error}");
            assert!(bench.is_empty());
        }
        assert_eq!(starts(&server).len(), 2);
    }
}

#[test]
fn a_server_that_has_nothing_is_asked_once_and_one_that_is_ill_again() {
    let (url, gone) = serve(&content(), &[Way::Says("404 Not Found")]);
    let error = Bench::new().fetch(&url).unwrap_err();
    assert!(error.ends_with("404 Not Found"), "{error}");
    assert_eq!(starts(&gone).len(), 1);
    let (url, _ill) = serve(&content(), &[Way::Says("503 Later"), Way::Good]);
    assert_eq!(Bench::new().fetch(&url).unwrap(), content());
}

#[test]
fn a_server_that_stalls_is_given_up_and_a_slow_one_is_not() {
    let (bench, (url, stalls)) = (Bench::new(), serve(&content(), &[Way::Stalls]));
    let error = bench.fetch(&url).unwrap_err();
    assert!(error.contains("cannot fetch"), "{error}");
    assert_eq!(starts(&stalls).len(), 3);
    assert!(bench.is_empty());
    let (url, _slow) = serve(&content()[..20_000], &[Way::Drips]);
    let fetched = bench.get(&url, None, PATIENCE).unwrap();
    assert_eq!(fetched, content()[..20_000]);
}

#[test]
fn what_came_before_a_server_was_given_up_is_kept_only_with_a_sum() {
    let ways = [Way::Cut(1000), Way::Stalls];
    let (bench, (url, _server)) = (Bench::new(), serve(&content(), &ways));
    bench.fetch(&url).unwrap_err();
    assert_eq!(fs::metadata(bench.part()).unwrap().len(), 1000);
    let (bench, (url, _server)) = (Bench::new(), serve(&content(), &ways));
    bench.trust(&url).unwrap_err();
    assert!(bench.is_empty());
}

#[test]
fn redirections_are_followed_but_not_in_circles() {
    let to = server::serve(vec![served("/there", content(), &[Way::Good])]);
    let (url, _from) = serve(&[], &[Way::Redirects(format!("{}/there", to.url))]);
    assert_eq!(Bench::new().fetch(&url).unwrap(), content());
    let (url, circles) = serve(&[], &[Way::Redirects(PATH.to_owned())]);
    let error = Bench::new().fetch(&url).unwrap_err();
    assert!(error.contains("redirected again and again"), "{error}");
    assert!(starts(&circles).len() < 20);
}

#[test]
fn two_processes_do_not_write_one_file() {
    let (bench, (url, _server)) = (Bench::new(), serve(&content(), &[Way::Good]));
    let held = fs::File::create(bench.part()).unwrap();
    held.lock().unwrap();
    let error = bench.fetch(&url).unwrap_err();
    assert!(error.contains("is being fetched already"), "{error}");
    drop(held);
    assert_eq!(bench.fetch(&url).unwrap(), content());
}

#[test]
fn without_a_server_there_is_one_line() {
    // Nobody listens there: the port was free a moment ago, and connecting to it is refused.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let unreachable = format!("http://{port}/a/root.tar.xz");
    for url in [&unreachable, "ftp://127.0.0.1/x", "nonsense", ""] {
        let bench = Bench::new();
        let error = bench.fetch(url).unwrap_err();
        assert!(error.contains("cannot fetch"), "{error}");
        assert!(bench.is_empty());
    }
}
