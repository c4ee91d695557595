//! Messages as bytes: little endian out, either way in.

use std::io::{self, Read};

/// Kinds of message.
const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;

/// Header fields by their number.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// Bytes of a header whose length does not depend on anything.
const FIXED: usize = 16;

/// Values one after the other, each aligned as its type demands.
#[derive(Clone, Debug, Default)]
pub struct Values(Vec<u8>);

impl Values {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    /// `y`
    pub fn byte(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    /// `b`
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.number(u32::from(value))
    }

    /// `u`
    pub fn number(&mut self, value: u32) -> &mut Self {
        self.align(4);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// `i`
    pub fn integer(&mut self, value: i32) -> &mut Self {
        self.align(4);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// `s`, and `o`
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.number(value.len() as u32);
        self.0.extend(value.as_bytes());
        self.byte(0)
    }

    /// `g`
    pub fn signature(&mut self, value: &str) -> &mut Self {
        self.byte(value.len() as u8);
        self.0.extend(value.as_bytes());
        self.byte(0)
    }

    /// `ay`
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.number(value.len() as u32);
        self.0.extend(value);
        self
    }

    /// A struct, or an entry of a dictionary, with what `fill` writes.
    pub fn group(&mut self, fill: impl FnOnce(&mut Values)) -> &mut Self {
        self.align(8);
        fill(self);
        self
    }

    /// An array of items that are aligned to `to` bytes, with what `fill` writes.
    pub fn array(&mut self, to: usize, fill: impl FnOnce(&mut Values)) -> &mut Self {
        self.number(0);
        let length_at = self.0.len() - 4;
        // What aligns the first item does not count, and is there without one too.
        self.align(to);
        let start = self.0.len();
        fill(self);
        let length = (self.0.len() - start) as u32;
        self.0[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
        self
    }

    /// An entry of an `a{sv}`.
    pub fn hint(
        &mut self,
        name: &str,
        signature: &str,
        fill: impl FnOnce(&mut Values) -> &mut Values,
    ) {
        self.group(|entry| {
            entry.text(name).signature(signature);
            fill(entry);
        });
    }
}

/// A call of a method.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Name of whoever has the method.
    pub destination: &'a str,
    /// The object.
    pub path: &'a str,
    /// The interface of the method.
    pub interface: &'a str,
    /// The method.
    pub member: &'a str,
    /// Types of the body.
    pub signature: &'a str,
    /// Its arguments.
    pub body: Values,
}

impl Call<'_> {
    /// The message.
    pub fn bytes(&self, serial: u32) -> Vec<u8> {
        let mut message = Values::default();
        message.byte(b'l').byte(METHOD_CALL).byte(0).byte(1);
        message.number(self.body.0.len() as u32).number(serial);
        message.array(8, |fields| {
            let mut field = |number, kind: &str, value: &str| {
                fields.group(|field| {
                    field.byte(number).signature(kind);
                    match kind {
                        "g" => field.signature(value),
                        _ => field.text(value),
                    };
                });
            };
            field(PATH, "o", self.path);
            field(INTERFACE, "s", self.interface);
            field(MEMBER, "s", self.member);
            field(DESTINATION, "s", self.destination);
            if !self.signature.is_empty() {
                field(SIGNATURE, "g", self.signature);
            }
        });
        message.align(8);
        message.0.extend(&self.body.0);
        message.0
    }
}

/// A message that came in.
#[derive(Clone, Debug)]
pub struct Message {
    kind: u8,
    is_little: bool,
    fields: Vec<u8>,
    /// The bytes of its values.
    pub body: Vec<u8>,
}

impl Message {
    /// Reads one message of at most `longest` bytes.
    ///
    /// # Errors
    /// As read(2); `InvalidData` for what is no message.
    pub fn read(from: &mut impl Read, longest: usize) -> io::Result<Message> {
        let mut fixed = [0; FIXED];
        from.read_exact(&mut fixed)?;
        let is_little = match fixed[0] {
            b'l' => true,
            b'B' => false,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        let length_at = |at| number(&fixed, at, is_little).unwrap_or(u32::MAX) as usize;
        let (body, fields) = (length_at(4), length_at(12));
        if body > longest || fields > longest {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut rest = vec![0; fields.next_multiple_of(8) + body];
        from.read_exact(&mut rest)?;
        let body = rest.split_off(fields.next_multiple_of(8));
        rest.truncate(fields);
        Ok(Message {
            kind: fixed[1],
            is_little,
            fields: rest,
            body,
        })
    }

    /// Whether it answers the call of that serial with what was asked for; `None` when it is something else.
    pub fn answers(&self, serial: u32) -> Option<bool> {
        if ![METHOD_RETURN, ERROR].contains(&self.kind) || self.reply_serial() != Some(serial) {
            return None;
        }
        Some(self.kind == METHOD_RETURN)
    }

    /// The serial that it answers: the header field 5, in an array of (number, variant), each aligned to 8.
    fn reply_serial(&self) -> Option<u32> {
        const REPLY_SERIAL: u8 = 5;
        let mut at = 0;
        while at < self.fields.len() {
            let (code, kind) = (*self.fields.get(at)?, *self.fields.get(at + 2)?);
            // One byte of number, then a signature of one letter: length, letter, zero.
            let value = at + 4;
            let end = match kind {
                b'u' if code == REPLY_SERIAL => return number(&self.fields, value, self.is_little),
                b'u' => value + 4,
                b's' | b'o' => {
                    value + 4 + number(&self.fields, value, self.is_little)? as usize + 1
                }
                b'g' => value + 1 + usize::from(*self.fields.get(value)?) + 1,
                _ => return None,
            };
            at = end.next_multiple_of(8);
        }
        None
    }

    /// The text that the body begins with.
    pub fn first_text(&self) -> Option<String> {
        let length = number(&self.body, 0, self.is_little)? as usize;
        let bytes = self.body.get(4..4usize.checked_add(length)?)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }
}

fn number(bytes: &[u8], at: usize, is_little: bool) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(match is_little {
        true => u32::from_le_bytes(bytes),
        false => u32::from_be_bytes(bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_aligned() {
        let mut values = Values::default();
        values.byte(7).number(1).text("ab").array(8, |_| {});
        assert_eq!(
            values.0,
            [
                7, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, b'a', b'b', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
            ]
        );
        let mut hints = Values::default();
        hints.array(8, |hints| hints.hint("u", "y", |value| value.byte(2)));
        assert_eq!(
            hints.0,
            [10, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'u', 0, 1, b'y', 0, 2]
        );
    }

    fn answer(is_little: bool, kind: u8, serial: u32) -> Vec<u8> {
        let bytes = |number: u32| match is_little {
            true => number.to_le_bytes(),
            false => number.to_be_bytes(),
        };
        let body = [&bytes(3)[..], b"why\0"].concat();
        let mut fields = vec![6, 1, b's', 0];
        fields.extend([&bytes(4)[..], b":1.7\0\0\0\0"].concat());
        fields.resize(fields.len().next_multiple_of(8), 0);
        fields.extend([5, 1, b'u', 0]);
        fields.extend(bytes(serial));
        let mut message = vec![if is_little { b'l' } else { b'B' }, kind, 0, 1];
        message.extend(
            [
                bytes(body.len() as u32),
                bytes(99),
                bytes(fields.len() as u32),
            ]
            .concat(),
        );
        message.extend(&fields);
        message.resize(message.len().next_multiple_of(8), 0);
        message.extend(body);
        message
    }

    #[test]
    fn answers_are_told_from_others_in_both_orders_of_bytes() {
        for is_little in [true, false] {
            let read =
                |kind| Message::read(&mut answer(is_little, kind, 3).as_slice(), 1000).unwrap();
            assert_eq!(read(METHOD_RETURN).answers(3), Some(true));
            assert_eq!(read(METHOD_RETURN).answers(4), None);
            assert_eq!(read(ERROR).answers(3), Some(false));
            assert_eq!(read(METHOD_CALL).answers(3), None);
            assert_eq!(read(ERROR).first_text().as_deref(), Some("why"));
        }
    }

    #[test]
    fn a_message_that_is_cut_off_too_long_or_nonsense_is_an_error_and_no_more() {
        let whole = answer(true, METHOD_RETURN, 3);
        for length in 0..whole.len() {
            assert!(
                Message::read(&mut &whole[..length], 1000).is_err(),
                "{length}"
            );
        }
        assert!(Message::read(&mut whole.as_slice(), 4).is_err());
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] = 0xff;
            if let Ok(message) = Message::read(&mut damaged.as_slice(), 1000) {
                let _ = (message.answers(3), message.first_text());
            }
        }
    }
}
