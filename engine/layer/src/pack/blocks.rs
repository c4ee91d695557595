//! Blocks on their way into the image: compressed on several threads, written in order.

use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use dwarfs::section::{CompressAlgo, Header, MagicVersion, SectionIndexEntry, SectionType};
use dwarfs::zerocopy::{FromZeros, IntoBytes};

use super::PackError;
use super::encode::Encoded;
use crate::xattr;

/// Blocks that wait for each thread, so that none idles while the next block is read.
const WAITING: usize = 2;

/// A section that is ready to be written.
type Section = Result<(Header, Vec<u8>), PackError>;

/// Writes an image section by section.
pub(super) struct Writer<'w, W> {
    out: &'w mut W,
    level: i32,
    /// To the threads: a block's number and bytes.
    blocks: SyncSender<(u32, Vec<u8>)>,
    /// From the threads: a block's number and its section, in any order.
    done: Receiver<(u32, Section)>,
    /// Sections that came before their turn.
    early: Vec<(u32, Section)>,
    /// The number of blocks given to the threads.
    sent: u32,
    /// How many blocks may be on their way.
    limit: u32,
    /// Type and offset of each section that was written.
    index: Vec<SectionIndexEntry>,
    /// Bytes that were written.
    length: u64,
}

impl<'w, W: Write> Writer<'w, W> {
    /// Starts the threads; they end with the writer.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        out: &'w mut W,
        level: i32,
        threads: usize,
    ) -> Writer<'w, W> {
        let limit = threads * (1 + WAITING);
        let (blocks, jobs) = sync_channel(limit);
        let (results, done) = channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..threads {
            let (jobs, results) = (Arc::clone(&jobs), results.clone());
            scope.spawn(move || compress_all(&jobs, &results, level));
        }
        Writer {
            out,
            level,
            blocks,
            done,
            early: Vec::new(),
            sent: 0,
            limit: limit as u32,
            index: Vec::new(),
            length: 0,
        }
    }

    /// The number that the next block will have.
    pub(super) fn next_block(&self) -> u32 {
        self.sent
    }

    /// Takes a block. Waits while too many are on their way.
    pub(super) fn block(&mut self, bytes: Vec<u8>) -> Result<(), PackError> {
        while self.sent - self.written() >= self.limit {
            self.write_next()?;
        }
        let number = self.sent;
        self.sent = number.checked_add(1).ok_or(PackError::TooLarge("blocks"))?;
        // The threads outlive the sender, and the queue has room for all that may be on their way.
        self.blocks.send((number, bytes)).map_err(|_| stopped())
    }

    /// Writes what is still on its way, the metadata, extended attributes if there are any, and the index. Answers the
    /// size of the image in bytes.
    pub(super) fn finish(
        mut self,
        metadata: Encoded,
        xattrs: Option<Vec<u8>>,
    ) -> Result<u64, PackError> {
        while self.written() < self.sent {
            self.write_next()?;
        }
        let mut zstd = compressor(self.level)?;
        let sections = [
            (SectionType::METADATA_V2_SCHEMA, Some(metadata.schema)),
            (SectionType::METADATA_V2, Some(metadata.tables)),
            (xattr::SECTION, xattrs),
        ];
        for (kind, bytes) in sections {
            let Some(bytes) = bytes else { continue };
            let (header, payload) = section(&mut zstd, self.written(), kind, bytes)?;
            self.write(header, &payload)?;
        }
        self.write_index()?;
        self.out.flush().map_err(PackError::Write)?;
        Ok(self.length)
    }

    fn written(&self) -> u32 {
        self.index.len() as u32
    }

    fn write_next(&mut self) -> Result<(), PackError> {
        let next = self.written();
        loop {
            if let Some(at) = self.early.iter().position(|(number, _)| *number == next) {
                let (header, payload) = self.early.swap_remove(at).1?;
                return self.write(header, &payload);
            }
            self.early.push(self.done.recv().map_err(|_| stopped())?);
        }
    }

    fn write(&mut self, header: Header, payload: &[u8]) -> Result<(), PackError> {
        self.out
            .write_all(header.as_bytes())
            .map_err(PackError::Write)?;
        self.out.write_all(payload).map_err(PackError::Write)?;
        self.index.push(self.entry(header.section_type)?);
        self.length += (size_of::<Header>() + payload.len()) as u64;
        Ok(())
    }

    /// The index names every section and itself.
    fn write_index(&mut self) -> Result<(), PackError> {
        let number = self.written();
        let mut index = self.index.clone();
        index.push(self.entry(SectionType::SECTION_INDEX)?);
        let payload = index.as_bytes();
        let header = header(
            number,
            SectionType::SECTION_INDEX,
            CompressAlgo::NONE,
            payload,
        );
        self.write(header, payload)
    }

    fn entry(&self, kind: SectionType) -> Result<SectionIndexEntry, PackError> {
        SectionIndexEntry::new(kind, self.length).ok_or(PackError::TooLarge("pages of content"))
    }
}

fn stopped() -> PackError {
    PackError::Write(std::io::Error::other(
        "a thread that compresses has stopped",
    ))
}

fn compress_all(
    jobs: &Mutex<Receiver<(u32, Vec<u8>)>>,
    results: &Sender<(u32, Section)>,
    level: i32,
) {
    let mut zstd = compressor(level);
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, bytes)) = job else { return };
        let section = match &mut zstd {
            Ok(zstd) => section(zstd, number, SectionType::BLOCK, bytes),
            Err(_) => Err(stopped()),
        };
        if results.send((number, section)).is_err() {
            return;
        }
    }
}

fn compressor(level: i32) -> Result<zstd::bulk::Compressor<'static>, PackError> {
    zstd::bulk::Compressor::new(level).map_err(PackError::Write)
}

/// Compresses a section. What does not shrink is stored as it is.
fn section(
    zstd: &mut zstd::bulk::Compressor,
    number: u32,
    kind: SectionType,
    bytes: Vec<u8>,
) -> Section {
    let compressed = zstd.compress(&bytes).map_err(PackError::Write)?;
    let (algorithm, payload) = match compressed.len() < bytes.len() {
        true => (CompressAlgo::ZSTD, compressed),
        false => (CompressAlgo::NONE, bytes),
    };
    Ok((header(number, kind, algorithm, &payload), payload))
}

fn header(number: u32, kind: SectionType, algorithm: CompressAlgo, payload: &[u8]) -> Header {
    let mut header = Header::new_zeroed();
    header.magic_version = MagicVersion::LATEST;
    header.section_number = number.into();
    header.section_type = kind;
    header.compress_algo = algorithm;
    header.update_size_and_checksum(payload);
    header
}
