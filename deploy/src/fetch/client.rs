//! One request, and what may come of it.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{HeaderMap, StatusCode, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Error};

/// How long a server may say nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fetches by HTTP and HTTPS. Proxies are those that the environment names, and who may vouch for a server is what the host
/// says.
pub(crate) struct Client {
    agent: Agent,
}

/// What a server has.
pub(crate) enum Answer {
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
}

impl Client {
    pub(crate) fn new() -> Client {
        Client::with_patience(PATIENCE)
    }

    pub(crate) fn with_patience(patience: Duration) -> Client {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .timeout_connect(Some(patience))
            .timeout_recv_response(Some(patience))
            .timeout_per_read(Some(patience))
            .http_status_as_error(false)
            .user_agent(concat!("flatimage-deploy/", env!("CARGO_PKG_VERSION")))
            .build();
        Client {
            agent: config.into(),
        }
    }

    /// Asks for everything from byte `start` on.
    pub(crate) fn get(&self, url: &str, start: u64) -> Result<Answer, Refusal> {
        // What is summed are the bytes of the file and not what a server makes of them on the way.
        let mut request = self
            .agent
            .get(url)
            .header(header::ACCEPT_ENCODING, "identity");
        if start > 0 {
            request = request.header(header::RANGE, format!("bytes={start}-"));
        }
        let answer = request.call().map_err(refusal)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let length = number(&headers, header::CONTENT_LENGTH);
        let body = || Box::new(answer.into_body().into_reader());
        match status {
            StatusCode::OK => Ok(Answer::Whole {
                body: body(),
                length,
            }),
            StatusCode::PARTIAL_CONTENT if range(&headers).map(|range| range.0) == Some(start) => {
                let all = range(&headers).and_then(|range| range.1);
                let rest = all.and_then(|all| all.checked_sub(start));
                Ok(Answer::Rest {
                    body: body(),
                    length: rest.or(length),
                })
            }
            StatusCode::RANGE_NOT_SATISFIABLE if start > 0 => Ok(Answer::Beyond {
                length: range(&headers).and_then(|range| range.1),
            }),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(Refusal::Passing(format!("the server answers {status}")))
            }
            status => Err(Refusal::Final(format!("the server answers {status}"))),
        }
    }
}

fn refusal(error: Error) -> Refusal {
    let reason = error.to_string().replace('\n', " ");
    match error {
        Error::Io(_) | Error::Timeout(_) | Error::ConnectionFailed | Error::Protocol(_) => {
            Refusal::Passing(reason)
        }
        _ => Refusal::Final(reason),
    }
}

fn number(headers: &HeaderMap, name: header::HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// Where an answer starts and how long the whole file is: `bytes 5-9/10`, or `bytes */10` when it has nothing of it.
fn range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let range = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (place, all) = range.strip_prefix("bytes ")?.split_once('/')?;
    let start = place
        .split_once('-')
        .map_or(Some(u64::MAX), |(start, _)| start.parse().ok());
    Some((start?, all.parse().ok()))
}
