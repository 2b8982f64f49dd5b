//! The hub's two addresses that matter: a repository's listing and a file's bytes.

use std::io::Read;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{Response, Uri, header};
use ureq::{Agent, Body};

use crate::exit::{Code, Failure};
use crate::output::escape_line;
use crate::pull::Offer;
use crate::pull::name::{Digest, FileName, Repo, Revision};

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
/// A listing of a thousand files has about 400 KiB.
const MAX_LISTING_BYTES: u64 = 16 << 20;
const MAX_REDIRECTS: usize = 8;
/// Without a byte for this long a connection counts as cut.
const STALL: Duration = Duration::from_secs(60);

/// One hub and how to talk to it.
pub struct Hub {
    agent: Agent,
    endpoint: String,
    origin: Origin,
    token: Option<String>,
}

#[derive(PartialEq)]
struct Origin {
    scheme: String,
    authority: String,
}

/// A repository's newest revision and its files.
pub struct Listing {
    pub revision: Revision,
    files: Vec<Listed>,
}

struct Listed {
    name: String,
    bytes: Option<u64>,
    digest: Option<Digest>,
}

impl Hub {
    /// The hub that `HF_ENDPOINT` names, else huggingface.co; the token of `HF_TOKEN` or of the login file.
    pub fn from_environment() -> Result<Self, Failure> {
        let endpoint = std::env::var("HF_ENDPOINT").ok().filter(|e| !e.is_empty());
        let endpoint = endpoint.unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned()).trim_end_matches('/').to_owned();
        let origin = endpoint.parse().ok().and_then(|uri| Origin::of(&uri));
        let origin = origin.ok_or_else(|| Failure::usage("HF_ENDPOINT is not an http or https address"))?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .accept_encoding("identity")
            .timeout_connect(Some(Duration::from_secs(30)))
            .timeout_recv_response(Some(STALL))
            .timeout_per_read(Some(STALL))
            .user_agent(concat!("ruminate/", env!("CARGO_PKG_VERSION")));
        Ok(Self { agent: config.build().into(), endpoint, origin, token: token() })
    }

    /// The newest revision of `repo`, with sizes and digests of its files.
    pub fn listing(&self, repo: &Repo) -> Result<Listing, Failure> {
        let response = self.get(&format!("{}/api/models/{repo}/revision/main?blobs=true", self.endpoint), 0);
        let response = response.map_err(GetError::into_failure)?;
        match response.status().as_u16() {
            200 => {}
            401 | 403 => return Err(failed(format!("{repo} is closed to you: set HF_TOKEN, or check the name"))),
            404 => return Err(failed(format!("{repo} does not exist at {}", self.endpoint))),
            status => return Err(failed(format!("{} answered {status} for {repo}", self.endpoint))),
        }
        let mut text = Vec::new();
        let read = response.into_body().into_reader().take(MAX_LISTING_BYTES + 1).read_to_end(&mut text);
        read.map_err(|e| failed(format!("reading the listing of {repo}: {e}")))?;
        if text.len() as u64 > MAX_LISTING_BYTES {
            return Err(failed(format!("the listing of {repo} does not end")));
        }
        let listing = serde_json::from_slice(&text).ok().and_then(|value| Listing::parse(&value));
        listing.ok_or_else(|| failed(format!("the listing of {repo} is not in the hub's form")))
    }

    pub fn file_url(&self, repo: &Repo, revision: &Revision, name: &FileName) -> String {
        format!("{}/{repo}/resolve/{}/{}", self.endpoint, revision.as_str(), percent_encode(name.as_str()))
    }

    /// Requests `url` from byte `offset` on and follows redirects, to https alone unless the endpoint itself is plain
    /// http (a local mirror). The token goes to the endpoint and to nobody else.
    pub fn get(&self, url: &str, offset: u64) -> Result<Response<Body>, GetError> {
        let mut url = url.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let origin = url.parse().ok().and_then(|uri| Origin::of(&uri));
            let origin = origin.filter(|o| o.scheme == "https" || self.origin.scheme == "http");
            let Some(origin) = origin else { return Err(GetError::Refused(url)) };
            let mut request = self.agent.get(&url);
            if let Some(token) = self.token.as_ref().filter(|_| origin == self.origin) {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            if offset > 0 {
                request = request.header(header::RANGE, format!("bytes={offset}-"));
            }
            let response = request.call().map_err(|e| GetError::Connection(e.to_string()))?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let location = response.headers().get(header::LOCATION).and_then(|l| l.to_str().ok());
            let Some(location) = location else { return Err(GetError::Refused("nowhere".to_owned())) };
            url = match location.strip_prefix('/') {
                Some(rest) if rest.starts_with('/') => format!("{}:{location}", origin.scheme),
                Some(_) => format!("{}://{}{location}", origin.scheme, origin.authority),
                None => location.to_owned(),
            };
        }
        Err(GetError::Refused("one address after another".to_owned()))
    }
}

/// Why a request has no answer.
pub enum GetError {
    /// The server could not be reached, or went away; another attempt may work.
    Connection(String),
    /// It redirects to somewhere that is not followed.
    Refused(String),
}

impl GetError {
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Connection(why) => failed(format!("the hub cannot be reached: {why}")),
            Self::Refused(to) => failed(format!("the hub redirects to {}, which is not followed", escape_line(&to))),
        }
    }
}

impl Listing {
    fn parse(value: &Value) -> Option<Self> {
        let revision = Revision::parse(value.get("sha")?.as_str()?)?;
        let files = value.get("siblings")?.as_array()?.iter().map(|file| {
            let lfs = file.get("lfs");
            Some(Listed {
                name: file.get("rfilename")?.as_str()?.to_owned(),
                bytes: lfs.and_then(|l| l.get("size")?.as_u64()),
                digest: lfs.and_then(|l| Digest::parse(l.get("sha256")?.as_str()?)),
            })
        });
        Some(Self { revision, files: files.collect::<Option<_>>()? })
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|f| f.name.as_str())
    }

    /// Size and digest of a file; without both it cannot be checked and is refused.
    pub fn offer(&self, name: &FileName) -> Result<Offer, Failure> {
        let listed = self.files.iter().find(|f| f.name == name.as_str());
        match listed.map(|f| (f.bytes, f.digest.clone())) {
            Some((Some(bytes), Some(digest))) => Ok(Offer { bytes, digest }),
            _ => Err(Failure::data(format!("the hub announces no valid size and SHA-256 digest for {name}"))),
        }
    }
}

impl Origin {
    fn of(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme_str().filter(|s| matches!(*s, "http" | "https"))?;
        Some(Self { scheme: scheme.to_owned(), authority: uri.authority()?.as_str().to_ascii_lowercase() })
    }
}

fn failed(message: String) -> Failure {
    Failure::new(Code::Failure, message)
}

/// The token of `HF_TOKEN`, else of the file in which the hub's own tools keep it.
fn token() -> Option<String> {
    let given = std::env::var("HF_TOKEN").ok();
    let stored = || std::fs::read_to_string(super::cache::home()?.join("token")).ok();
    let token = given.or_else(stored)?.trim().to_owned();
    (!token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic())).then_some(token)
}

/// A checked file name as a path of an address: what is not unreserved (RFC 3986, 2.3) is escaped, slashes stay.
fn percent_encode(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/".contains(&b);
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_without_a_commit_or_with_a_bad_digest_offers_nothing() {
        let name = FileName::parse("a.gguf").unwrap();
        let file = |digest: &str| serde_json::json!({"rfilename": "a.gguf", "lfs": {"size": 3, "sha256": digest}});
        let listing = |file: Value| serde_json::json!({"sha": "0".repeat(40), "siblings": [file]});
        assert_eq!(Listing::parse(&listing(file(&"a".repeat(64)))).unwrap().offer(&name).unwrap().bytes, 3);
        for bad in ["../../etc", &"a".repeat(63), &"A".repeat(64)] {
            assert!(Listing::parse(&listing(file(bad))).unwrap().offer(&name).is_err(), "{bad}");
        }
        assert!(Listing::parse(&serde_json::json!({"sha": "main", "siblings": []})).is_none());
    }

    #[test]
    fn only_what_is_reserved_is_escaped() {
        assert_eq!(percent_encode("q4/a b+(1).gguf"), "q4/a%20b%2B%281%29.gguf");
    }
}
