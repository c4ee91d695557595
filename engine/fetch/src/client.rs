//! One request, and what may come of it.

use std::env;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use ureq::config::Config;
use ureq::http::{HeaderMap, StatusCode, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Error};

use crate::names::Names;

/// How long a server may say nothing, unless somebody has another opinion.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long it may take to reach one.
const REACH: Duration = Duration::from_secs(30);

/// Fetches by HTTP and HTTPS. Proxies are those that the environment names.
pub struct Client {
    agent: Agent,
}

/// What a server has.
pub(crate) struct Answer {
    pub(crate) what: What,
    /// What it calls this version of the file, if the name can be trusted to be that of the very bytes.
    pub(crate) version: Option<String>,
}

pub(crate) enum What {
    /// Everything from the wanted place on, and how many bytes that is.
    Rest {
        body: Box<dyn Read>,
        length: Option<u64>,
    },
    /// Everything.
    Whole {
        body: Box<dyn Read>,
        length: Option<u64>,
    },
    /// The wanted place is at the end or behind it; how long the file is.
    Beyond { length: Option<u64> },
}

/// Why there is no answer.
pub(crate) enum Refusal {
    /// It may be there the next time.
    Passing(String),
    Final(String),
    /// The server says that there is no such file.
    Missing(String),
}

/// What is asked for.
pub(crate) struct Query<'a> {
    pub(crate) url: &'a str,
    /// The first byte that is wanted.
    pub(crate) start: u64,
    /// The version that the bytes before it are of.
    pub(crate) version: Option<&'a str>,
    /// Whether an encrypted connection may lead to one that is not.
    pub(crate) downgrade: bool,
}

impl Default for Client {
    fn default() -> Client {
        Client::with_patience(PATIENCE)
    }
}

impl Client {
    /// One that gives a server up that says nothing for so long. Hosts are found as every program of this host finds them.
    #[must_use]
    pub fn with_patience(patience: Duration) -> Client {
        Client {
            agent: config(patience).into(),
        }
    }

    /// One that finds hosts without the C library, for a program that has none of the host's.
    #[must_use]
    pub fn alone(patience: Duration) -> Client {
        let names = Names::of_host(REACH.min(patience));
        Client {
            agent: Agent::with_parts(config(patience), DefaultConnector::default(), names),
        }
    }

    pub(crate) fn get(&self, query: &Query) -> Result<Answer, Refusal> {
        // What is summed are the bytes of the file and not what a server makes of them on the way.
        let mut request = self
            .agent
            .get(query.url)
            .header(header::ACCEPT_ENCODING, "identity");
        if query.start > 0 {
            request = request.header(header::RANGE, format!("bytes={}-", query.start));
            if let Some(version) = query.version {
                request = request.header(header::IF_RANGE, version);
            }
        }
        let begins = query.url.get(..6).unwrap_or_default();
        let strict = begins.eq_ignore_ascii_case("https:") && !query.downgrade;
        let request = request.config().https_only(strict).build();
        let answer = request.call().map_err(refusal)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let length = number(&headers, header::CONTENT_LENGTH);
        let body = || Box::new(answer.into_body().into_reader());
        let what = match status {
            StatusCode::OK => What::Whole {
                body: body(),
                length,
            },
            StatusCode::PARTIAL_CONTENT
                if range(&headers).map(|range| range.0) == Some(query.start) =>
            {
                let all = range(&headers).and_then(|range| range.1);
                let rest = all.and_then(|all| all.checked_sub(query.start));
                What::Rest {
                    body: body(),
                    length: rest.or(length),
                }
            }
            StatusCode::RANGE_NOT_SATISFIABLE if query.start > 0 => What::Beyond {
                length: range(&headers).and_then(|range| range.1),
            },
            status => return Err(told(status)),
        };
        let version = version(&headers);
        Ok(Answer { what, version })
    }
}

fn config(patience: Duration) -> Config {
    let tls = TlsConfig::builder()
        .root_certs(roots())
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .timeout_resolve(Some(REACH.min(patience)))
        .timeout_connect(Some(REACH.min(patience)))
        .timeout_recv_response(Some(patience))
        .timeout_per_read(Some(patience))
        .http_status_as_error(false)
        .user_agent(concat!("flatimage/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Who may vouch for a server: whoever the host, or `SSL_CERT_FILE` and `SSL_CERT_DIR`, trusts. Only a host that has no
/// certificates at all gets those that came along; what the variables name is never replaced.
fn roots() -> RootCerts {
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].map(env::var_os);
    let found = rustls_native_certs::load_native_certs().certs;
    match found.is_empty() && named.iter().all(Option::is_none) {
        true => RootCerts::WebPki,
        false => found
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .into(),
    }
}

fn told(status: StatusCode) -> Refusal {
    let told = format!("the server answers {status}");
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Refusal::Missing(told),
        StatusCode::TOO_MANY_REQUESTS => Refusal::Passing(told),
        status if status.is_server_error() => Refusal::Passing(told),
        _ => Refusal::Final(told),
    }
}

fn refusal(error: Error) -> Refusal {
    let reason = error.to_string().replace('\n', " ");
    match error {
        Error::TooManyRedirects => {
            Refusal::Final("it is redirected again and again and never there".to_owned())
        }
        Error::RequireHttpsOnly(_) => {
            Refusal::Final("it is redirected to a connection that is not encrypted".to_owned())
        }
        Error::Io(_) | Error::Timeout(_) | Error::ConnectionFailed | Error::Protocol(_) => {
            Refusal::Passing(reason)
        }
        _ => Refusal::Final(reason),
    }
}

fn number(headers: &HeaderMap, name: header::HeaderName) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// A tag that is not weak, else a date (RFC 9110, 13.1.5).
fn version(headers: &HeaderMap) -> Option<String> {
    let tag = text(headers, header::ETAG).filter(|tag| tag.starts_with('"'));
    let version = tag.or_else(|| text(headers, header::LAST_MODIFIED))?;
    Some(version.to_owned())
}

/// Where an answer starts and how long the whole file is: `bytes 5-9/10`, or `bytes */10` when it has nothing of it.
fn range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let range = text(headers, header::CONTENT_RANGE)?;
    let (place, all) = range.strip_prefix("bytes ")?.split_once('/')?;
    let start = place
        .split_once('-')
        .map_or(Some(u64::MAX), |(start, _)| start.parse().ok());
    Some((start?, all.parse().ok()))
}
