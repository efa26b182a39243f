//! The workspace rule: file arguments of tool calls stay below one directory. The filter cannot see the file system,
//! so the judgement is lexical, and a value must stay inside in every reading that a tool could give it: as written,
//! percent-decoded, with backslashes or look-alike characters taken for slashes and dots.

/// The directory that tools may work in.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The segments of its absolute path.
    root: Vec<String>,
}

/// Longer than any path that an operating system takes.
const MAX_LENGTH: usize = 4096;
/// A value that is still encoded after so many rounds was made to deceive.
const MAX_DECODINGS: usize = 4;

impl Workspace {
    /// # Errors
    ///
    /// A sentence, if `root` is not an absolute path without `.` and `..`.
    pub(crate) fn new(root: &str) -> Result<Self, String> {
        let Some(relative) = root.strip_prefix('/') else {
            return Err(format!("workspace-root: `{root}` must be an absolute path"));
        };
        let segments: Vec<String> =
            relative.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect();
        if segments.iter().any(|segment| segment == "." || segment == "..") || root.contains(['\0', '\\']) {
            return Err(format!("workspace-root: `{root}` must have no `.`, `..`, backslash or NUL"));
        }
        Ok(Self { root: segments })
    }

    /// Whether `value`, a path absolute or relative to the root, stays inside.
    ///
    /// # Errors
    ///
    /// Why not: a sentence without its subject.
    pub(crate) fn check(&self, value: &str) -> Result<(), &'static str> {
        if value.len() > MAX_LENGTH {
            return Err("is longer than any path");
        }
        let mut reading = value.to_owned();
        for _ in 0..MAX_DECODINGS {
            self.check_reading(&reading)?;
            self.check_reading(&fold(&reading))?;
            let decoded = percent_decode(&reading).ok_or("is not UTF-8 once decoded")?;
            if decoded == reading {
                return Ok(());
            }
            reading = decoded;
        }
        Err("is percent-encoded too many times")
    }

    fn check_reading(&self, value: &str) -> Result<(), &'static str> {
        if value.contains(|c: char| c.is_control()) {
            return Err("has a control character");
        }
        let path = file_url_path(value.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '\''))?;
        if is_expanded_by_a_shell(path) {
            return Err("is expanded by a shell to a place of its own");
        }
        if has_drive(path) || path.starts_with("//") {
            return Err("is outside the workspace");
        }
        match path.strip_prefix('/') {
            Some(absolute) => self.check_absolute(absolute),
            None => check_relative(path),
        }
    }

    fn check_absolute(&self, path: &str) -> Result<(), &'static str> {
        let mut resolved: Vec<&str> = Vec::new();
        for segment in path.split('/') {
            match segment.trim() {
                "" | "." => {}
                ".." => _ = resolved.pop(),
                _ => resolved.push(segment),
            }
        }
        let inside =
            resolved.len() >= self.root.len() && self.root.iter().zip(&resolved).all(|(a, b)| a == b);
        if inside { Ok(()) } else { Err("is outside the workspace") }
    }
}

/// A relative path may go down and come back, but never above where it began.
fn check_relative(path: &str) -> Result<(), &'static str> {
    let mut depth = 0_u32;
    for segment in path.split('/') {
        depth = match segment.trim() {
            "" | "." => depth,
            ".." => depth.checked_sub(1).ok_or("is outside the workspace")?,
            _ => depth + 1,
        };
    }
    Ok(())
}

/// The path in a `file:` URL; anything else as it is.
fn file_url_path(value: &str) -> Result<&str, &'static str> {
    let (scheme, rest) = value.split_once(':').unwrap_or(("", value));
    if !scheme.eq_ignore_ascii_case("file") {
        return Ok(value);
    }
    let Some(with_host) = rest.strip_prefix("//") else { return Ok(rest) };
    let path = with_host.strip_prefix("localhost").unwrap_or(with_host);
    if path.starts_with('/') { Ok(path) } else { Err("is a file on another host") }
}

/// `~`, `~user`, `$HOME/x`, `${HOME}`, `$(pwd)`, `` `pwd` ``, `%APPDATA%\x`. Names such as `$id.tsx` are files.
fn is_expanded_by_a_shell(path: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let variable = |segment: &str| {
        segment.strip_prefix('$').is_some_and(is_name)
            || segment.strip_prefix('%').and_then(|rest| rest.strip_suffix('%')).is_some_and(is_name)
    };
    path.starts_with('~')
        || path.contains("${")
        || path.contains("$(")
        || path.contains('`')
        || path.split(['/', '\\']).any(variable)
}

/// `C:`, with or without a slash after it.
fn has_drive(path: &str) -> bool {
    matches!(path.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic())
}

/// Backslashes, and characters that Unicode normalisation turns into slashes and dots.
fn fold(value: &str) -> String {
    let mut folded = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' | '\u{ff3c}' | '\u{ff0f}' | '\u{2044}' | '\u{2215}' | '\u{29f8}' | '\u{fe68}' => {
                folded.push('/');
            }
            '\u{ff0e}' | '\u{2024}' | '\u{fe52}' => folded.push('.'),
            '\u{2025}' => folded.push_str(".."),
            '\u{ff5e}' => folded.push('~'),
            c => folded.push(c),
        }
    }
    folded
}

/// Decodes what is a valid escape once and leaves the rest. None: the bytes are not UTF-8, as in the overlong `%c0%af`.
fn percent_decode(value: &str) -> Option<String> {
    let bytes = value.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
            _ => None,
        };
        decoded.push(escaped.unwrap_or(byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_inside_pass() {
        let workspace = Workspace::new("/work/app/").expect("a root");
        for value in [
            "",
            ".",
            "src/main.rs",
            "./src/../README.md",
            "src/./a//b",
            "/work/app",
            "/work/app/",
            "/work/app/src/main.rs",
            "/work/app/src/../../app/x",
            "/work//app/x",
            "file:///work/app/x",
            "file://localhost/work/app/x",
            "docs/100%.md",
            "a%20b.txt",
            "routes/$id.tsx",
            "...",
            "..a/b..",
            "src/**/*.rs",
            "café/日本.txt",
            "notes~",
        ] {
            assert_eq!(workspace.check(value), Ok(()), "{value}");
        }
    }

    const OUTSIDE: &[&str] = &[
        "..",
        "../x",
        "../app/x",
        "src/../../x",
        "src/../..",
        "./../x",
        "/",
        "/etc/passwd",
        "/work",
        "/work/application/x",
        "/work/app/../../etc/passwd",
        "/work/app/../app2/x",
        "//work/app/x",
        "//server/share",
        "/proc/self/root/etc/passwd",
        "/WORK/app/x",
        "%2e%2e/x",
        "%2e%2e%2fx",
        "..%2fx",
        "%252e%252e%252fx",
        "%25252e%25252e%25252fx",
        "%2525252525252e",
        "%2fetc%2fpasswd",
        "..\\x",
        "src\\..\\..\\x",
        "..%5cx",
        "\\etc\\passwd",
        "\\\\server\\share",
        "C:\\Windows",
        "c:/Windows",
        "C:x",
        "~",
        "~/x",
        "~root/x",
        "%7e/x",
        "$HOME/x",
        "${HOME}/x",
        "$(pwd)/x",
        "`pwd`/x",
        "src/$HOME",
        "%APPDATA%\\x",
        " /etc/passwd",
        "\"/etc/passwd\"",
        "'../x'",
        ".. /x",
        "src/.. /../x",
        "src\0/../../x",
        "src/x\0.png",
        "src/x%00.png",
        "src/x\n",
        "%c0%ae%c0%ae/x",
        "．．/x",
        "..／x",
        "‥/x",
        "．．＼x",
        "%EF%BC%8E%EF%BC%8E/x",
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "file:/etc/passwd",
        "file:../x",
        "file://evil/work/app/x",
        "file://localhost/etc/passwd",
        "file:///work/app/%2e%2e/%2e%2e/etc",
    ];

    #[test]
    fn no_spelling_leads_outside() {
        let workspace = Workspace::new("/work/app").expect("a root");
        for value in OUTSIDE {
            assert!(workspace.check(value).is_err(), "{value}");
        }
        assert!(workspace.check(&"a/".repeat(4096)).is_err());
    }

    #[test]
    fn roots_that_are_no_roots_are_refused() {
        for root in ["work", "./work", "/work/../x", "/work/./x", "C:\\work", "~/work"] {
            assert!(Workspace::new(root).is_err(), "{root}");
        }
        assert_eq!(Workspace::new("/").expect("a root").check("/etc/passwd"), Ok(()));
    }

    #[test]
    fn random_values_never_panic_and_a_parent_never_passes() {
        let workspace = Workspace::new("/work/app").expect("a root");
        let pieces = ["..", "/", "%2e", "%", "\\", "a", "~", "$", "é", "\0", "file:", ".", "%2f", "．"];
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let value: String = (0..8).filter_map(|_| random.choice(pieces)).collect();
            let _unused = workspace.check(&value);
            assert!(workspace.check(&format!("../{value}")).is_err(), "../{value}");
        }
    }
}
