//! The metadata of an image, from the tree and its content.
//!
//! An inode's kind decides where it is: directories, links, files with content of their own, files that share content,
//! devices, the rest. Everything is sorted, nothing is packed further: our reader uses the tables as they are.

use std::collections::{BTreeMap, BTreeSet};

use dwarfs::metadata::{
    Chunk, DirEntry, Directory, FsOptions, InodeData, InodeSizeCache, Metadata, OrderedMap,
    StringTable,
};

use super::PackError;
use super::content::{Contents, Piece};
use super::numbers::Numbers;
use super::scan::{Index, Inode, Tree, What};

/// Contents of at least this many chunks have their size noted, so that nobody adds them up.
const CHUNKS_TO_NOTE: usize = 32;

/// Builds the metadata.
pub(super) fn build(
    tree: &Tree,
    contents: &Contents,
    numbers: &Numbers,
    block_size: usize,
) -> Result<Metadata, PackError> {
    let mut metadata = Metadata::default();
    let mut options = FsOptions::default();
    options.mtime_only = true;
    metadata.options = Some(options);
    metadata.block_size =
        u32::try_from(block_size).map_err(|_| PackError::TooLarge("bytes in a block"))?;
    metadata.total_fs_size = tree.content_size();
    metadata.dwarfs_version = Some(concat!("flatimage ", env!("CARGO_PKG_VERSION")).into());
    metadata.preferred_path_separator = Some(u32::from(b'/'));
    write_inodes(&mut metadata, tree, numbers);
    write_directories(&mut metadata, tree, numbers)?;
    write_links(&mut metadata, tree, numbers)?;
    write_chunks(&mut metadata, contents, numbers, block_size as u64)?;
    metadata.devices = Some(
        numbers
            .inodes
            .iter()
            .filter_map(|index| device(&tree.inodes[*index as usize]))
            .collect(),
    );
    Ok(metadata)
}

fn write_inodes(metadata: &mut Metadata, tree: &Tree, numbers: &Numbers) {
    let distinct =
        |value: fn(&Inode) -> u32| tree.inodes.iter().map(value).collect::<BTreeSet<_>>();
    let modes: Vec<u32> = distinct(|inode| inode.mode).into_iter().collect();
    let uids: Vec<u32> = distinct(|inode| inode.uid).into_iter().collect();
    let gids: Vec<u32> = distinct(|inode| inode.gid).into_iter().collect();
    let index = |table: &[u32], value| table.binary_search(&value).unwrap_or(0) as u32;
    let base = tree
        .inodes
        .iter()
        .map(|inode| inode.mtime)
        .min()
        .unwrap_or(0);
    let data = |inode: &Inode| {
        let mut data = InodeData::default();
        data.mode_index = index(&modes, inode.mode);
        data.owner_index = index(&uids, inode.uid);
        data.group_index = index(&gids, inode.gid);
        // Times more than 136 years apart do not fit; the later one is then too early.
        data.mtime_offset = u32::try_from(inode.mtime - base).unwrap_or(u32::MAX);
        data
    };
    metadata.inodes = numbers
        .inodes
        .iter()
        .map(|index| data(&tree.inodes[*index as usize]))
        .collect();
    metadata.timestamp_base = base;
    (metadata.modes, metadata.uids, metadata.gids) = (modes, uids, gids);
}

/// Entries lie in the order of their directories; the first entry stands for the root directory itself.
fn write_directories(
    metadata: &mut Metadata,
    tree: &Tree,
    numbers: &Numbers,
) -> Result<(), PackError> {
    let listed: Vec<_> = numbers
        .inodes
        .iter()
        .map_while(|index| entries(&tree.inodes[*index as usize]))
        .collect();
    let names: BTreeSet<&[u8]> = listed
        .iter()
        .flat_map(|entries| entries.iter())
        .map(|entry| &entry.0[..])
        .collect();
    let (names, indices) = string_table(names)?;
    let mut directories = vec![Directory::default(); listed.len() + 1];
    let mut all = vec![DirEntry::default()];
    for (number, entries) in listed.iter().enumerate() {
        directories[number].first_entry = all.len() as u32;
        for (name, index) in *entries {
            let inode = numbers.of_inode[*index as usize];
            // A directory has one name, which says where it and its parent are.
            if let Some(child) = directories
                .get_mut(inode as usize)
                .filter(|_| (inode as usize) < listed.len())
            {
                child.self_entry = all.len() as u32;
            }
            let mut entry = DirEntry::default();
            entry.name_index = indices[&name[..]];
            entry.inode_num = inode;
            all.push(entry);
        }
    }
    directories[listed.len()].first_entry =
        u32::try_from(all.len()).map_err(|_| PackError::TooLarge("names"))?;
    for (number, entries) in listed.iter().enumerate() {
        let parent_entry = directories[number].self_entry;
        for child in entries
            .iter()
            .map(|(_, index)| numbers.of_inode[*index as usize] as usize)
        {
            if child < listed.len() {
                directories[child].parent_entry = parent_entry;
            }
        }
    }
    metadata.directories = directories;
    metadata.dir_entries = Some(all);
    metadata.compact_names = Some(names);
    Ok(())
}

fn write_links(metadata: &mut Metadata, tree: &Tree, numbers: &Numbers) -> Result<(), PackError> {
    let targets = || {
        numbers
            .inodes
            .iter()
            .filter_map(|index| target(&tree.inodes[*index as usize]))
    };
    let (table, indices) = string_table(targets().collect())?;
    metadata.symlink_table = targets().map(|target| indices[target]).collect();
    metadata.compact_symlinks = Some(table);
    Ok(())
}

fn write_chunks(
    metadata: &mut Metadata,
    contents: &Contents,
    numbers: &Numbers,
    block_size: u64,
) -> Result<(), PackError> {
    let mut sizes = Vec::new();
    for (number, content) in (0..).zip(&numbers.contents) {
        let pieces = &contents.pieces[*content as usize];
        metadata.chunk_table.push(chunk_count(metadata)?);
        metadata.chunks.extend(pieces.iter().map(|piece| {
            let mut chunk = Chunk::default();
            (chunk.block, chunk.offset, chunk.size) = place(*piece, contents.blocks, block_size);
            chunk
        }));
        if pieces.len() >= CHUNKS_TO_NOTE {
            let size = pieces.iter().map(|piece| piece.size()).sum();
            sizes.push((number, size));
        }
    }
    metadata.chunk_table.push(chunk_count(metadata)?);
    metadata.shared_files_table = Some(numbers.shared.clone());
    let mut cache = InodeSizeCache::default();
    cache.lookup = OrderedMap(sizes);
    cache.min_chunk_count = CHUNKS_TO_NOTE as u64;
    metadata.reg_file_size_cache = Some(cache);
    Ok(())
}

/// Block, offset and size of a chunk. A hole is in the block behind the last, and its size is a number of blocks and the
/// bytes beyond them (`doc/dwarfs-format.md` of DwarFS).
fn place(piece: Piece, hole_block: u32, block_size: u64) -> (u32, u32, u32) {
    match piece {
        Piece::Data {
            block,
            offset,
            size,
        } => (block, offset, size),
        Piece::Hole { size } => (
            hole_block,
            (size % block_size) as u32,
            (size / block_size) as u32,
        ),
    }
}

fn chunk_count(metadata: &Metadata) -> Result<u32, PackError> {
    metadata
        .chunks
        .len()
        .try_into()
        .map_err(|_| PackError::TooLarge("pieces of content"))
}

fn entries(inode: &Inode) -> Option<&[(Vec<u8>, Index)]> {
    match &inode.what {
        What::Directory(entries) => Some(entries),
        _ => None,
    }
}

fn target(inode: &Inode) -> Option<&[u8]> {
    match &inode.what {
        What::Symlink(target) => Some(target),
        _ => None,
    }
}

fn device(inode: &Inode) -> Option<u64> {
    match inode.what {
        What::Device(number) => Some(number),
        _ => None,
    }
}

/// A table of strings, and the index of each of them.
fn string_table(
    strings: BTreeSet<&[u8]>,
) -> Result<(StringTable, BTreeMap<&[u8], u32>), PackError> {
    let mut buffer = Vec::new();
    let mut offsets = vec![0];
    for string in &strings {
        buffer.extend_from_slice(string);
        offsets
            .push(u32::try_from(buffer.len()).map_err(|_| PackError::TooLarge("bytes of names"))?);
    }
    let mut table = StringTable::default();
    table.buffer = buffer.into();
    table.index = offsets;
    Ok((table, strings.into_iter().zip(0..).collect()))
}
