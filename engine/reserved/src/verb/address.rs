//! Texts that are the address of a directory, to which names are appended (RFC 3986).

use crate::verb::VerbError;

/// Accepts an address that begins with one of `schemes`.
///
/// # Errors
/// Other schemes; addresses that cannot be continued, such as those with a query; and secrets, because an image is handed on.
pub fn check(text: &str, schemes: &[&str]) -> Result<(), VerbError> {
    let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
    if !schemes
        .iter()
        .any(|known| known.eq_ignore_ascii_case(scheme))
    {
        let known: Vec<String> = schemes.iter().map(|known| format!("`{known}:`")).collect();
        return wrong(
            format!("`{text}` is no address that can be used"),
            format!("give one that begins with {}", known.join(", ")),
        );
    }
    if text.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return wrong("the address has blanks in it", "write `%20` for each");
    }
    let complete = || format!("give all of it, as in `{scheme}://…/directory`");
    let Some(rest) = rest.strip_prefix("//") else {
        return wrong(format!("`{text}` is half an address"), complete());
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // Only files are without a host, and have no other (RFC 8089).
    let is_file = scheme.eq_ignore_ascii_case("file");
    if is_file && !authority.is_empty() {
        let mend = format!("write `{scheme}:///` and the absolute path");
        return wrong(format!("`{text}` is no file of this host"), mend);
    }
    if authority.is_empty() && (!is_file || path.is_empty()) {
        return wrong(format!("`{text}` is half an address"), complete());
    }
    if authority.contains('@') {
        return wrong(
            "the address has a user or a password in it, which everybody gets who gets the image",
            "give it without",
        );
    }
    if !is_file && !has_host(authority) {
        let mend = "name the host, and a port from 1 to 65535 behind a colon if it is another one than usual";
        return wrong(format!("`{authority}` is no host of a server"), mend);
    }
    if rest.contains(['?', '#']) {
        return wrong(
            format!("`{text}` has something behind the path, where names are appended"),
            "leave out what begins with `?` or `#`",
        );
    }
    Ok(())
}

/// Whether there is a host, and a port that can be one if there is a colon.
fn has_host(authority: &str) -> bool {
    // An address of IPv6 has colons of its own, in brackets.
    let (host, port) = match authority.rfind(']') {
        Some(end) => authority.split_at(end + 1),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let is_closed = host.starts_with('[') == host.ends_with(']');
    let is_port = |port: &str| {
        let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        is_number && port.parse::<u16>().is_ok_and(|port| port != 0)
    };
    let port = (!port.is_empty()).then(|| port.strip_prefix(':').is_some_and(is_port));
    !host.is_empty() && is_closed && port != Some(false)
}

fn wrong(what: impl Into<String>, mend: impl Into<String>) -> Result<(), VerbError> {
    Err(VerbError::Wrong {
        what: what.into(),
        mend: mend.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMES: &[&str] = &["file", "https"];

    #[test]
    fn an_address_that_names_can_be_appended_to_is_accepted() {
        for text in [
            "file:///srv/remote",
            "file:///",
            "https://example.org",
            "HTTPS://example.org/a/b/",
            "https://[::1]:8443/a%20b",
            "https://example.org:65535/a",
            "https://[::1]",
        ] {
            assert_eq!(check(text, SCHEMES), Ok(()), "{text}");
        }
    }

    #[test]
    fn anything_else_is_named_in_one_line() {
        for (text, expected) in [
            ("ftp://example.org", "begins with `file:`, `https:`"),
            ("example.org", "begins with `file:`, `https:`"),
            ("/srv/remote", "begins with `file:`, `https:`"),
            ("", "begins with `file:`, `https:`"),
            ("https:example.org", "`https://…/directory`"),
            ("https://", "`https://…/directory`"),
            ("https:///a", "`https://…/directory`"),
            ("file://", "`file://…/directory`"),
            ("file:srv", "`file://…/directory`"),
            ("file://host/a", "`file:///`"),
            (
                "https://h:99999/",
                "`h:99999` is no host of a server; name the host, and a port from 1 to 65535",
            ),
            ("https://h:0/", "a port from"),
            ("https://h:", "a port from"),
            ("https://h:8o/", "a port from"),
            ("https://h:+80/", "a port from"),
            ("https://h:1:2/", "a port from"),
            ("https://:80/", "name the host"),
            ("https://[::1]x/", "name the host"),
            ("https://::1]/", "name the host"),
            ("https://example.org/a b", "`%20`"),
            ("https://example.org/\n", "`%20`"),
            ("https://example.org/a?b", "`?` or `#`"),
            ("https://example.org/a#b", "`?` or `#`"),
        ] {
            let line = check(text, SCHEMES).expect_err(text).to_string();
            assert!(line.contains(expected) && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn a_secret_is_refused_and_not_repeated() {
        for text in [
            "https://me:secret@example.org/",
            "https://secret@example.org",
        ] {
            let line = check(text, SCHEMES).expect_err(text).to_string();
            assert!(
                line.contains("password") && !line.contains("secret"),
                "{line}"
            );
        }
    }
}
