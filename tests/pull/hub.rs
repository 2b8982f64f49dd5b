//! A hub on 127.0.0.1 that answers as a test tells it to.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What a client asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    /// The first byte that it wants.
    pub from: usize,
    pub token: Option<String>,
}

/// A running hub; it lives as long as the test process.
pub struct Hub {
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Hub {
    /// Answers every request with `answer`, which writes the raw response; the connection closes behind it.
    pub fn start(answer: impl Fn(&Asked, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &log, &*answer));
            }
        });
        Self { address, asked }
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// What was asked so far about files, not about the listing.
    pub fn asked_for_files(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|a| !is_listing(a)).collect()
    }
}

fn serve(
    stream: TcpStream,
    log: &Mutex<Vec<Asked>>,
    answer: &(dyn Fn(&Asked, &mut TcpStream) -> std::io::Result<()> + Send + Sync),
) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(path) = lines.next().and_then(|l| Some(l.split(' ').nth(1)?.to_owned())) else { return };
    let mut asked = Asked { path, from: 0, token: None };
    for line in lines.take_while(|l| !l.is_empty()) {
        let (name, value) = line.split_once(':').unwrap();
        match name.to_ascii_lowercase().as_str() {
            "range" => asked.from = value.trim().trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap(),
            "authorization" => asked.token = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    log.lock().unwrap().push(asked.clone());
    let mut stream = stream;
    // A client that has read enough closes first; that is no fault of the test.
    let _ = answer(&asked, &mut stream);
}

pub fn is_listing(asked: &Asked) -> bool {
    asked.path.starts_with("/api/models/")
}

/// A listing of files with their true sizes and digests.
pub fn listing(files: &[(&str, &[u8])]) -> Value {
    let siblings = files.iter().map(|(name, data)| {
        json!({"rfilename": name, "size": data.len(), "lfs": {"sha256": sha256(data), "size": data.len(), "pointerSize": 134}})
    });
    json!({"id": "org/repo", "sha": COMMIT, "siblings": siblings.collect::<Vec<_>>()})
}

pub fn send_json(to: &mut TcpStream, value: &Value) -> std::io::Result<()> {
    send(to, "200 OK", "", value.to_string().as_bytes())
}

/// A whole answer with its length.
pub fn send(to: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
    write!(to, "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n", body.len())?;
    to.write_all(body)
}

/// `data` as asked for, by range or whole; at most `cut` bytes of it before the connection ends.
pub fn send_file(asked: &Asked, to: &mut TcpStream, data: &[u8], cut: usize) -> std::io::Result<()> {
    let (rest, total) = (&data[asked.from..], data.len());
    if asked.from == 0 {
        write!(to, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {total}\r\n\r\n")?;
    } else {
        let (from, last, len) = (asked.from, total - 1, rest.len());
        write!(to, "HTTP/1.1 206 Partial Content\r\nConnection: close\r\nContent-Length: {len}\r\n")?;
        write!(to, "Content-Range: bytes {from}-{last}/{total}\r\n\r\n")?;
    }
    to.write_all(&rest[..cut.min(rest.len())])
}

pub fn sha256(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|b| format!("{b:02x}")).collect()
}
