//! Names that come from outside, checked before any path or address is made of them.

use std::fmt;
use std::str::FromStr;

/// `org/repo` or `org/repo:TAG`, where a tag is a quantization such as `Q4_K_M` or the name of a GGUF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub repo: Repo,
    pub tag: Option<String>,
}

/// A repository: two names of letters, digits, `.`, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repo {
    org: String,
    name: String,
}

/// A commit: exactly 40 lowercase hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision(String);

/// A SHA-256 digest: exactly 64 lowercase hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest(String);

/// A file inside a repository: a relative path that stays below its folder on every operating system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName(String);

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (repo, tag) = text.split_once(':').map_or((text, None), |(repo, tag)| (repo, Some(tag)));
        let (org, name) = repo.split_once('/').ok_or("write org/repo or org/repo:QUANT")?;
        let repo = Repo { org: repo_part(org)?, name: repo_part(name)? };
        let tag = match tag {
            Some("") => return Err("the part behind ':' is empty".to_owned()),
            Some(t) if t.to_ascii_lowercase().ends_with(".gguf") => Some(FileName::parse(t)?.0),
            Some(t) if t.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) => Some(t.to_owned()),
            Some(t) => return Err(format!("{t:?} is neither a quantization nor a GGUF file name")),
            None => None,
        };
        Ok(Self { repo, tag })
    }
}

impl Repo {
    /// The repository's folder in the cache.
    pub fn folder(&self) -> String {
        format!("models--{}--{}", self.org, self.name)
    }

    /// The repository of a cache folder; `None` for a folder that is no model's.
    pub fn of_folder(folder: &str) -> Option<Self> {
        let (org, name) = folder.strip_prefix("models--")?.split_once("--")?;
        Some(Self { org: repo_part(org).ok()?, name: repo_part(name).ok()? })
    }
}

impl Revision {
    pub fn parse(text: &str) -> Option<Self> {
        is_lower_hex(text, 40).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Digest {
    pub fn parse(text: &str) -> Option<Self> {
        is_lower_hex(text, 64).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FileName {
    pub fn parse(text: &str) -> Result<Self, String> {
        let fault = if text.len() > 512 {
            Some("it is too long")
        } else if text.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            Some("it has an empty part, '.' or '..'")
        } else if text.split('/').any(|part| part.ends_with(['.', ' ']) || part.starts_with(' ') || is_device(part)) {
            Some("a part of it means something else on Windows")
        } else if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+=@,()[] /".contains(&b)) {
            Some("it holds a character that file names here may not hold")
        } else {
            None
        };
        match fault {
            Some(fault) => Err(format!("the file name {text:?} is refused: {fault}")),
            None => Ok(Self(text.to_owned())),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

fn repo_part(text: &str) -> Result<String, String> {
    let sound = !text.is_empty()
        && text.len() <= 96
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && !text.starts_with(['.', '-'])
        && !text.ends_with(['.', '-'])
        && !text.contains("..")
        && !text.contains("--");
    if sound { Ok(text.to_owned()) } else { Err(format!("{text:?} is not the name of an organization or repository")) }
}

fn is_lower_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Names that Windows gives to devices, with or without an extension.
fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered =
        |prefix| stem.strip_prefix(prefix).is_some_and(|n| n.len() == 1 && n.bytes().all(|b| b.is_ascii_digit()));
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL") || numbered("COM") || numbered("LPT")
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tag {
            Some(tag) => write!(f, "{}:{tag}", self.repo),
            None => write!(f, "{}", self.repo),
        }
    }
}

impl fmt::Display for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.org, self.name)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_names_pass() {
        for good in
            ["a/b", "Qwen/Qwen2.5-0.5B-Instruct-GGUF", "org/repo:Q4_K_M", "o_1/r.2:UD-Q4_K_XL", "o/r:sub/x.gguf"]
        {
            assert_eq!(good.parse::<Wanted>().map(|w| w.to_string()), Ok(good.to_owned()));
        }
        for good in ["model.gguf", "Q4_K_M/model-00001-of-00002.gguf", "a b (1).gguf", "console.gguf", "com10.gguf"] {
            assert!(FileName::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        let bad = [
            "",
            "repo",
            "/repo",
            "org/",
            "org/repo/more",
            "../repo",
            "org/..",
            "org/.hidden",
            "org/-x",
            "org/a--b",
            "org/re po",
            "org/repo:",
            "org/repo:a/b",
            "org/repo:../x.gguf",
            "org/repo:/x.gguf",
            "C:/x",
            "org\\repo/x",
            "org/r\u{202e}x",
            "org/r\0x",
            "org/repo\n",
        ];
        for bad in bad {
            assert!(bad.parse::<Wanted>().is_err(), "{bad:?}");
        }
        let long = "a".repeat(513);
        let bad = [
            "",
            ".",
            "..",
            "../x.gguf",
            "a/../x.gguf",
            "a/./x",
            "/etc/passwd",
            "a//b",
            "a/",
            "C:\\x.gguf",
            "C:x.gguf",
            "a\\b",
            "x\0.gguf",
            "x\x1b[0m.gguf",
            "x\u{202e}.gguf",
            "nul.gguf",
            "a/COM1",
            "LPT9.x.gguf",
            "x.",
            "x ",
            " x",
            "~é.gguf",
            &long,
        ];
        for bad in bad {
            assert!(FileName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_digest_is_64_lowercase_hexadecimal_digits() {
        assert!(Digest::parse(&"0a".repeat(32)).is_some());
        for bad in ["0a".repeat(31) + "0", "0a".repeat(32) + "0", "0A".repeat(32), "g0".repeat(32), "../x".repeat(16)] {
            assert!(Digest::parse(&bad).is_none(), "{bad}");
        }
        assert!(Revision::parse(&"f".repeat(40)).is_some() && Revision::parse("main").is_none());
    }

    #[test]
    fn a_cache_folder_names_its_repository() {
        let wanted: Wanted = "org/re-po.x".parse().unwrap();
        assert_eq!(Repo::of_folder(&wanted.repo.folder()), Some(wanted.repo));
        for bad in ["datasets--a--b", "models--a", "models--..--b", "models--a--b--c"] {
            assert_eq!(Repo::of_folder(bad), None, "{bad}");
        }
    }
}
