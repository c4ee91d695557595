//! The numbers of inodes and contents in the image.
//!
//! A kind of inode has a range of numbers, so that a number says which table describes it.

use std::collections::HashMap;

use super::content::Contents;
use super::scan::{Index, Tree, What};

/// The number of an inode in the image.
pub(super) type Number = u32;

/// In which order inodes and contents are numbered.
pub(super) struct Numbers {
    /// The inodes of the tree by their numbers in the image.
    pub(super) inodes: Vec<Index>,
    /// The numbers of the tree's inodes.
    pub(super) of_inode: Vec<Number>,
    /// Contents: first those of one file, then those of several.
    pub(super) contents: Vec<u32>,
    /// For each file that shares its content, which of the shared contents it has.
    pub(super) shared: Vec<u32>,
}

impl Numbers {
    /// Numbers everything.
    pub(super) fn new(tree: &Tree, contents: &Contents) -> Numbers {
        let mut files: HashMap<u32, u32> = HashMap::new();
        for content in contents.of_file.values() {
            *files.entry(*content).or_default() += 1;
        }
        let is_shared = |content: &u32| files.get(content).is_some_and(|count| *count > 1);
        let content = |index: Index| contents.of_file.get(&index).copied().unwrap_or(0);
        let rank = |index: Index| match &tree.inodes[index as usize].what {
            What::Directory(_) => (0, 0),
            What::Symlink(_) => (1, 0),
            What::File { .. } if !is_shared(&content(index)) => (2, 0),
            // Files that share content are sorted by it.
            What::File { .. } => (3, content(index)),
            What::Device(_) => (4, 0),
            What::Other => (5, 0),
        };
        let mut inodes: Vec<Index> = (0..tree.inodes.len() as Index).collect();
        inodes.sort_by_key(|index| rank(*index));
        let mut numbers = vec![0; inodes.len()];
        for (number, index) in (0..).zip(&inodes) {
            numbers[*index as usize] = number;
        }
        let of_rank = |wanted| {
            inodes
                .iter()
                .filter(move |index| rank(**index).0 == wanted)
                .map(|index| content(*index))
        };
        let mut ordered: Vec<u32> = of_rank(2).collect();
        let mut shared = Vec::new();
        let mut last = None;
        for content in of_rank(3) {
            if last != Some(content) {
                ordered.push(content);
                last = Some(content);
            }
            shared.push(ordered.len() as u32 - 1);
        }
        let unique = ordered.len() as u32 - shared.last().map_or(0, |last| last + 1 - shared[0]);
        shared.iter_mut().for_each(|index| *index -= unique);
        Numbers {
            inodes,
            of_inode: numbers,
            contents: ordered,
            shared,
        }
    }
}
