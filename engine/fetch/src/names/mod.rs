//! Finding hosts by their names, without the C library.
//!
//! A static program cannot ask the host's C library: it would load modules that belong to another version of itself. So names are
//! looked up in `/etc/hosts`, and then of the servers that `/etc/resolv.conf` names, as hosts(5) and resolv.conf(5) describe. Hosts
//! that know names in other ways mostly have a server of their own there.

mod message;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use message::{Answer, Kind};

/// How often a server is asked, and for how long it may think each time (resolv.conf(5)).
const ATTEMPTS: usize = 2;
const THINKING: Duration = Duration::from_secs(5);

/// As many addresses as a connection tries.
const MOST: usize = 16;

/// Who is asked for names.
#[derive(Debug)]
pub struct Names {
    hosts: String,
    servers: Vec<SocketAddr>,
    /// Domains in which a name without a dot is looked for.
    search: Vec<String>,
    patience: Duration,
}

impl Names {
    /// As this host says.
    pub fn of_host(patience: Duration) -> Names {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Names::of(read("/etc/hosts"), &read("/etc/resolv.conf"), patience)
    }

    fn of(hosts: String, resolv: &str, patience: Duration) -> Names {
        let of = |known: &[&str]| -> Vec<Vec<&str>> {
            let lines = resolv.lines().map(|line| line.split_whitespace());
            let lines =
                lines.filter_map(|mut words| known.contains(&words.next()?).then_some(words));
            lines.map(Iterator::collect).collect()
        };
        let servers = of(&["nameserver"]);
        let servers = servers
            .iter()
            .filter_map(|words| words.first()?.parse().ok());
        let mut servers: Vec<SocketAddr> = servers.map(|at: IpAddr| (at, 53).into()).collect();
        if servers.is_empty() {
            servers.push((Ipv4Addr::LOCALHOST, 53).into());
        }
        // The last one counts.
        let search = of(&["search", "domain"]).pop().unwrap_or_default();
        Names {
            hosts,
            servers,
            search: search.into_iter().map(str::to_owned).collect(),
            patience,
        }
    }

    /// The addresses of a host; none when nobody knows it.
    fn find(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = literal.parse() {
            return Ok(vec![address]);
        }
        let host = host.trim_end_matches('.');
        let known = self.in_hosts(host);
        if !known.is_empty() {
            return Ok(known);
        }
        // Not for servers to know (RFC 6761).
        if host.eq_ignore_ascii_case("localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let dotless = self.search.iter().filter(|_| !host.contains('.'));
        let names = dotless.map(|domain| format!("{host}.{domain}"));
        let deadline = Instant::now() + self.patience;
        for name in names.chain([host.to_owned()]) {
            let found = self.ask(&name, deadline)?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    fn in_hosts(&self, host: &str) -> Vec<IpAddr> {
        let lines = self.hosts.lines().filter_map(|line| {
            let mut words = line.split('#').next()?.split_whitespace();
            let address = words.next()?.parse().ok()?;
            words
                .any(|name| name.eq_ignore_ascii_case(host))
                .then_some(address)
        });
        lines.collect()
    }

    /// Asks one server after the other until one answers.
    fn ask(&self, name: &str, deadline: Instant) -> io::Result<Vec<IpAddr>> {
        let mut last = io::Error::from(io::ErrorKind::TimedOut);
        for _ in 0..ATTEMPTS {
            for server in &self.servers {
                match query_both(*server, name, deadline) {
                    Ok(found) => return Ok(found),
                    Err(error) => last = error,
                }
                if Instant::now() >= deadline {
                    return Err(last);
                }
            }
        }
        Err(last)
    }
}

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let place = uri.scheme().zip(uri.authority());
        let place =
            place.and_then(|(scheme, authority)| DefaultResolver::host_and_port(scheme, authority));
        let place = place.as_deref().and_then(|place| place.rsplit_once(':'));
        let (host, port) = place
            .and_then(|(host, port)| Some((host, port.parse().ok()?)))
            .ok_or_else(|| Error::BadUri(uri.to_string()))?;
        let found = match self.find(host) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(Error::Timeout(timeout.reason));
            }
            found => found?,
        };
        let mut addresses: Vec<SocketAddr> = found
            .into_iter()
            .map(|address| SocketAddr::new(address, port))
            .collect();
        addresses.sort_by_key(|address| !has_way(*address));
        if addresses.is_empty() {
            return Err(Error::HostNotFound);
        }
        let mut resolved = self.empty();
        addresses
            .into_iter()
            .take(MOST)
            .for_each(|address| resolved.push(address));
        Ok(resolved)
    }
}

/// Whether the kernel knows a way there. Nothing is sent.
fn has_way(address: SocketAddr) -> bool {
    socket_for(address).is_ok_and(|socket| socket.connect(address).is_ok())
}

fn socket_for(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0))
}

/// Addresses of both kinds.
fn query_both(server: SocketAddr, name: &str, deadline: Instant) -> io::Result<Vec<IpAddr>> {
    let mut found = query(server, name, Kind::V4, deadline)?;
    found.extend(query(server, name, Kind::V6, deadline)?);
    Ok(found)
}

fn query(server: SocketAddr, name: &str, kind: Kind, deadline: Instant) -> io::Result<Vec<IpAddr>> {
    let mut id = [0; 2];
    // An answer that somebody else invents must guess it, and the port.
    File::open("/dev/urandom")?.read_exact(&mut id)?;
    let Some(question) = message::question(id, name, kind) else {
        return Ok(Vec::new());
    };
    let deadline = deadline.min(Instant::now() + THINKING);
    match message::answer(&by_datagram(server, &question, deadline)?, &question)? {
        Answer::Addresses(found) => Ok(found),
        Answer::CutOff => {
            match message::answer(&by_stream(server, &question, deadline)?, &question)? {
                Answer::Addresses(found) => Ok(found),
                Answer::CutOff => Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(io::ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}

fn by_datagram(server: SocketAddr, question: &[u8], deadline: Instant) -> io::Result<Vec<u8>> {
    let socket = socket_for(server)?;
    // From then on the kernel passes on what the server says and nobody else.
    socket.connect(server)?;
    socket.send(question)?;
    let mut buffer = vec![0; 1 << 12];
    loop {
        socket.set_read_timeout(Some(left(deadline)?))?;
        let length = socket
            .recv(&mut buffer)
            .map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
                _ => error,
            })?;
        // An answer to an earlier question may come late.
        if buffer[..length].starts_with(&question[..2]) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

/// For answers that do not fit into a datagram (RFC 1035, 4.2.2).
fn by_stream(server: SocketAddr, question: &[u8], deadline: Instant) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, left(deadline)?)?;
    stream.set_read_timeout(Some(left(deadline)?))?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), question].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests;
