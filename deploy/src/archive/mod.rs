//! Tar archives, read member by member.
//!
//! The fields of a header are taken apart by the `tar` crate. How members follow one another is read here, because that
//! crate ends the value of an extended attribute at its first line feed, and file capabilities and access control lists are
//! bytes of any value. Nothing here touches a file of the host: what a member is called is up to [`crate::tree`].

mod compression;
mod pax;
mod sparse;

use std::io::{self, Read, Write};

use tar::Header;

pub(crate) use compression::decompressed;
use pax::Records;
pub(crate) use sparse::Segment;

/// Archives are made of blocks of so many bytes.
const BLOCK: usize = 512;

/// What stands before a member (a long name, records, a map of holes) has at most so many bytes.
const MOST_BEFORE: u64 = 16 << 20;

/// One member of an archive.
#[derive(Debug)]
pub(crate) struct Member {
    /// The path as it stands in the archive, which may be anything.
    pub(crate) name: Vec<u8>,
    /// Permission bits, with those for setuid, setgid and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds since 1970.
    pub(crate) mtime: u64,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether it has an access control list as text, which is not kept.
    pub(crate) has_acl: bool,
    pub(crate) kind: Kind,
}

/// What a member is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    /// A file of so many bytes, of which only these segments are stored.
    File {
        size: u64,
        segments: Vec<Segment>,
    },
    /// Another name of the member with this path.
    Link(Vec<u8>),
    Symlink(Vec<u8>),
    /// A device with this number, as glibc encodes it.
    Character(u64),
    Block(u64),
    Fifo,
}

/// An archive that is read from its start to its end.
pub(crate) struct Archive<R> {
    input: R,
    /// Bytes of content of the current member that were not read.
    content: u64,
    /// Bytes behind it, up to the next block.
    padding: u64,
    /// Records that count for all members.
    global: Records,
    /// Whether a block of zeros ended it.
    is_ended: bool,
}

impl<R: Read> Archive<R> {
    pub(crate) fn new(input: R) -> Archive<R> {
        Archive {
            input,
            content: 0,
            padding: 0,
            global: Records::default(),
            is_ended: false,
        }
    }

    /// Whether the end of the archive was marked. One that was cut off between two members is not.
    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// The next member. After the last one everything that follows is read as well, so that the sums of compressed
    /// archives are compared.
    pub(crate) fn next(&mut self) -> io::Result<Option<Member>> {
        self.skip_content()?;
        let mut before = Before::default();
        loop {
            let Some(block) = self.header()? else {
                return Ok(None);
            };
            let header = Header::from_byte_slice(&block);
            self.set_content(header.entry_size()?)?;
            match header.entry_type().as_byte() {
                b'x' => before.records = Records::parse(&self.before()?)?,
                b'g' => {
                    let records = Records::parse(&self.before()?)?;
                    self.global.extend(records);
                }
                b'L' => before.name = Some(text(self.before()?)),
                b'K' => before.link = Some(text(self.before()?)),
                // The label of a volume.
                b'V' => self.skip_content()?,
                _ => return self.member(header, before).map(Some),
            }
        }
    }

    /// Writes the content of the current member: its segments, one after the other.
    pub(crate) fn copy_content(&mut self, out: &mut impl Write) -> io::Result<()> {
        let copied = io::copy(&mut (&mut self.input).take(self.content), out)?;
        self.content -= copied;
        match self.content {
            0 => Ok(()),
            _ => Err(cut_off()),
        }
    }

    /// The next header; none at the end.
    fn header(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(cut_off()),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if block == [0; BLOCK] {
            self.is_ended = true;
            io::copy(&mut self.input, &mut io::sink())?;
            return Ok(None);
        }
        match Header::from_byte_slice(&block).cksum() {
            Ok(sum) if sum == sum_of(&block) => Ok(Some(block)),
            _ => Err(invalid("a header has a wrong checksum")),
        }
    }

    fn set_content(&mut self, size: u64) -> io::Result<()> {
        let end = size.checked_next_multiple_of(BLOCK as u64);
        let end = end.ok_or_else(|| invalid("a member has an absurd size"))?;
        (self.content, self.padding) = (size, end - size);
        Ok(())
    }

    fn skip_content(&mut self) -> io::Result<()> {
        // The padding of the last member may be missing; whether the archive is cut off is seen at the next header.
        self.copy_content(&mut io::sink())?;
        io::copy(&mut (&mut self.input).take(self.padding), &mut io::sink())?;
        self.padding = 0;
        Ok(())
    }

    /// The content of something that stands before a member.
    fn before(&mut self) -> io::Result<Vec<u8>> {
        if self.content > MOST_BEFORE {
            return Err(invalid("what stands before a member is absurdly long"));
        }
        let mut bytes = Vec::new();
        self.copy_content(&mut bytes)?;
        self.skip_content()?;
        Ok(bytes)
    }

    fn member(&mut self, header: &Header, before: Before) -> io::Result<Member> {
        let records = self.global.with(before.records);
        let name = records.bytes("path").or(before.name);
        let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
        let of_name = |error: io::Error| {
            let name = String::from_utf8_lossy(&name);
            io::Error::new(error.kind(), format!("member `{name}`: {error}"))
        };
        if let Some(size) = records.number("size")? {
            self.set_content(size)?;
        }
        let link = records.bytes("linkpath").or(before.link);
        let link = link.or_else(|| header.link_name_bytes().map(|link| link.into_owned()));
        let kind = self.kind(header, &records, &name, link).map_err(of_name)?;
        let is_file = matches!(kind, Kind::File { .. });
        if !is_file {
            // Only files have content, whatever size the header of another member names.
            self.set_content(0)?;
        }
        let id = |name: &str, of_header: io::Result<u64>| -> io::Result<u32> {
            let id = match records.number(name)? {
                Some(id) => id,
                None => of_header?,
            };
            u32::try_from(id).map_err(|_| invalid("an owner has an absurd number"))
        };
        Ok(Member {
            mode: header.mode().map_err(of_name)? & 0o7777,
            uid: id("uid", header.uid()).map_err(of_name)?,
            gid: id("gid", header.gid()).map_err(of_name)?,
            mtime: match records.seconds("mtime")? {
                Some(seconds) => seconds,
                None => header.mtime().map_err(of_name)?,
            },
            xattrs: records.xattrs(),
            has_acl: records.has_acl(),
            name: records.bytes("GNU.sparse.name").unwrap_or(name),
            kind,
        })
    }

    fn kind(
        &mut self,
        header: &Header,
        records: &Records,
        name: &[u8],
        link: Option<Vec<u8>>,
    ) -> io::Result<Kind> {
        let link = || link.ok_or_else(|| invalid("it links to nothing"));
        Ok(match header.entry_type().as_byte() {
            // Before POSIX a directory was a file whose name ends so.
            0 | b'0' if name.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' => match sparse::of_records(records)? {
                Some(sparse::Found::Map(size, segments)) => self.sparse(size, segments)?,
                Some(sparse::Found::InContent(size)) => {
                    let segments = self.sparse_map()?;
                    self.sparse(size, segments)?
                }
                None => Kind::File {
                    size: self.content,
                    segments: Segment::whole(self.content),
                },
            },
            b'S' => {
                let (size, segments) = sparse::of_header(header, &mut self.input)?;
                self.sparse(size, segments)?
            }
            b'1' => Kind::Link(link()?),
            b'2' => Kind::Symlink(link()?),
            b'3' => Kind::Character(device(header)?),
            b'4' => Kind::Block(device(header)?),
            // With a list of what was in it.
            b'5' | b'D' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => {
                let letter = char::from(other).escape_default();
                return Err(invalid(&format!(
                    "members of type `{letter}` are not known"
                )));
            }
        })
    }

    fn sparse(&mut self, size: u64, segments: Vec<Segment>) -> io::Result<Kind> {
        sparse::check(size, &segments, self.content)?;
        Ok(Kind::File { size, segments })
    }

    /// The map that the content of a member begins with.
    fn sparse_map(&mut self) -> io::Result<Vec<Segment>> {
        let length = self.content;
        let mut counted = (&mut self.input).take(length.min(MOST_BEFORE));
        let limit = counted.limit();
        let segments = sparse::of_content(&mut counted)?;
        self.content = length - (limit - counted.limit());
        Ok(segments)
    }
}

/// What stood before a member and counts for it.
#[derive(Default)]
struct Before {
    records: Records,
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

/// Bytes up to the first NUL.
fn text(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0);
    bytes.truncate(end.unwrap_or(bytes.len()));
    bytes
}

/// The sum of a header, in which its own field counts as spaces.
fn sum_of(block: &[u8; BLOCK]) -> u32 {
    let own = 148..156;
    let values = block.iter().enumerate();
    values
        .map(|(at, byte)| u32::from(if own.contains(&at) { b' ' } else { *byte }))
        .sum()
}

/// The number of a device as glibc encodes it (`gnu_dev_makedev` in `sysdeps/…/makedev.c`).
fn device(header: &Header) -> io::Result<u64> {
    let major = u64::from(header.device_major()?.unwrap_or(0));
    let minor = u64::from(header.device_minor()?.unwrap_or(0));
    Ok((minor & 0xff) | (major & 0xfff) << 8 | (minor & !0xff) << 12 | (major & !0xfff) << 32)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it is cut off")
}

#[cfg(test)]
mod tests;
