//! The records that may stand before a member and say more than its header can (pax(1)).

use std::io;

use super::invalid;

/// What the names of attributes begin with.
const XATTR: &[u8] = b"SCHILY.xattr.";
/// What access control lists are called, which are text.
const ACL: &[u8] = b"SCHILY.acl.";

/// Records in their order; of two with one key the later counts.
#[derive(Debug, Default, Clone)]
pub(super) struct Records(Vec<(Vec<u8>, Vec<u8>)>);

impl Records {
    /// Each record is its own length in decimal, a space, `key=value` and a line feed. The length is what ends it.
    pub(super) fn parse(mut bytes: &[u8]) -> io::Result<Records> {
        let malformed = || invalid("its records are malformed");
        let mut records = Vec::new();
        while !bytes.is_empty() {
            let space = bytes.iter().take(20).position(|byte| *byte == b' ');
            let space = space.ok_or_else(malformed)?;
            let length: usize = number(&bytes[..space]).ok_or_else(malformed)?;
            let record = bytes.get(space + 1..length).ok_or_else(malformed)?;
            let record = record.strip_suffix(b"\n").ok_or_else(malformed)?;
            let equals = record.iter().position(|byte| *byte == b'=');
            let (key, value) = record.split_at(equals.ok_or_else(malformed)?);
            records.push((key.to_vec(), value[1..].to_vec()));
            bytes = &bytes[length..];
        }
        Ok(Records(records))
    }

    pub(super) fn extend(&mut self, other: Records) {
        self.0.extend(other.0);
    }

    /// These, and after them others.
    pub(super) fn with(&self, other: Records) -> Records {
        let mut all = self.clone();
        all.extend(other);
        all
    }

    /// All keys and values, in order.
    pub(super) fn all(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(key, value)| (&key[..], &value[..]))
    }

    /// The value of a key; an empty one takes back what was said before.
    pub(super) fn value(&self, key: &str) -> Option<&[u8]> {
        let mut found = self.0.iter().rev();
        let (_, value) = found.find(|(known, _)| known == key.as_bytes())?;
        (!value.is_empty()).then_some(&value[..])
    }

    pub(super) fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        self.value(key).map(<[u8]>::to_vec)
    }

    pub(super) fn number<T: std::str::FromStr>(&self, key: &str) -> io::Result<Option<T>> {
        let number = |value| number(value).ok_or_else(|| invalid(&format!("`{key}` is no number")));
        self.value(key).map(number).transpose()
    }

    /// Seconds with a fraction, of which the whole ones count; what lies before 1970 counts as 1970.
    pub(super) fn seconds(&self, key: &str) -> io::Result<Option<u64>> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let whole = value.split(|byte| *byte == b'.').next().unwrap_or_default();
        let seconds: Option<i64> = number(whole);
        let seconds = seconds.ok_or_else(|| invalid(&format!("`{key}` is no time")))?;
        Ok(Some(u64::try_from(seconds).unwrap_or(0)))
    }

    /// Extended attributes; of two with one name the later counts.
    pub(super) fn xattrs(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let attributes = self
            .all()
            .filter_map(|(key, value)| Some((key.strip_prefix(XATTR)?.to_vec(), value.to_vec())));
        let by_name: std::collections::BTreeMap<_, _> = attributes.collect();
        by_name.into_iter().collect()
    }

    pub(super) fn has_acl(&self) -> bool {
        self.all()
            .any(|(key, value)| key.starts_with(ACL) && !value.is_empty())
    }
}

/// A number in decimal.
pub(super) fn number<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &str) -> String {
        let rest = key.len() + value.len() + 3;
        let length = (1..).find(|length| format!("{}", length + rest).len() == *length);
        format!("{} {key}={value}\n", length.unwrap() + rest)
    }

    #[test]
    fn a_record_ends_where_its_length_says() {
        let value = "\n12 path=b\n";
        let text = record("SCHILY.xattr.user.a", value) + &record("linkpath", "c");
        let records = Records::parse(text.as_bytes()).unwrap();
        let expected = (b"user.a".to_vec(), value.as_bytes().to_vec());
        assert_eq!(records.xattrs(), [expected]);
        assert_eq!(records.value("path"), None);
        assert_eq!(records.value("linkpath"), Some(&b"c"[..]));
    }

    #[test]
    fn malformed_records_are_refused() {
        for bytes in [
            &b"x"[..],
            b"5 a=b",
            b"99 a=b\n",
            b"6 a=b\n\n",
            b"4 ab\n",
            b"0 a=b\n",
            b"1 a=b\n",
            b"18446744073709551615 a=b\n",
        ] {
            assert!(Records::parse(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn the_last_value_counts_and_an_empty_one_takes_it_back() {
        let records = Records::parse(b"6 a=1\n6 a=2\n14 mtime=-3.5\n12 size=017\n").unwrap();
        assert_eq!(records.value("a"), Some(&b"2"[..]));
        assert_eq!(records.seconds("mtime").unwrap(), Some(0));
        assert_eq!(records.number::<u64>("a").unwrap(), Some(2));
        let taken = records.with(Records::parse(b"5 a=\n").unwrap());
        assert_eq!(taken.value("a"), None);
    }
}
