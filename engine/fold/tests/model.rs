//! Whatever is done in whatever case, the view is what a simple model says.

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};

use common::{Folded, errno, in_namespaces, overlay};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

const DIRECTORIES: [&str; 3] = ["", "One", "Two"];
const NAMES: [&str; 5] = ["alpha", "beta", "gamma", "été", "straße"];
const STEPS: usize = 1500;

/// Numbers that look random and are the same each time (xorshift, Marsaglia 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    /// A name in a random case.
    fn name(&mut self) -> String {
        let name = NAMES[self.below(NAMES.len())];
        self.case(name)
    }

    /// A name with each letter in a random case.
    fn case(&mut self, name: &str) -> String {
        let upper = |letter: char| match letter {
            'ß' => 'ẞ',
            letter => letter.to_uppercase().next().unwrap(),
        };
        let lower = name.to_lowercase();
        let letters = lower.chars().map(|letter| match self.below(2) {
            0 => letter,
            _ => upper(letter),
        });
        letters.collect()
    }

    /// A directory, and its path in a random case.
    fn directory(&mut self) -> (usize, String) {
        let number = self.below(DIRECTORIES.len());
        (number, self.case(DIRECTORIES[number]))
    }
}

/// Directory and lower-case name of each file, with its name and which file it is.
type Model = BTreeMap<(usize, String), (String, usize)>;

struct Both {
    folded: Folded,
    model: Model,
    /// What each file holds, and how many names it has.
    files: Vec<(String, u64)>,
    open: Vec<(File, usize)>,
    directories: [String; 3],
}

impl Both {
    fn key(directory: usize, name: &str) -> (usize, String) {
        (directory, name.to_lowercase())
    }

    fn create(&mut self, random: &mut Random, new: bool) {
        let ((directory, path), name) = (random.directory(), random.name());
        let at = self.folded.at(&path).join(&name);
        let text = format!("{} {name}", self.files.len());
        let existing = self.model.get(&Both::key(directory, &name)).cloned();
        if new {
            let result =
                errno(File::create_new(&at).and_then(|file| file.write_all_at(text.as_bytes(), 0)));
            assert_eq!(result == 17, existing.is_some());
        } else {
            fs::write(&at, &text).unwrap();
        }
        match existing {
            None => {
                self.model
                    .insert(Both::key(directory, &name), (name, self.files.len()));
                self.files.push((text, 1));
            }
            Some((_, file)) if !new => self.files[file].0 = text,
            Some(_) => {}
        }
    }

    fn unlink(&mut self, random: &mut Random) {
        let ((directory, path), name) = (random.directory(), random.name());
        let result = errno(fs::remove_file(self.folded.at(&path).join(&name)));
        match self.model.remove(&Both::key(directory, &name)) {
            Some((_, file)) => {
                assert_eq!(result, 0);
                self.files[file].1 -= 1;
            }
            None => assert_eq!(result, 2),
        }
    }

    fn link(&mut self, random: &mut Random) {
        let ((from, from_path), old) = (random.directory(), random.name());
        let ((to, to_path), new) = (random.directory(), random.name());
        let (source, target) = (Both::key(from, &old), Both::key(to, &new));
        let at = |path: &str, name: &str| self.folded.at(path).join(name);
        let result = errno(fs::hard_link(at(&from_path, &old), at(&to_path, &new)));
        match (
            self.model.get(&source).cloned(),
            self.model.contains_key(&target),
        ) {
            (None, _) => assert_eq!(result, 2),
            (Some(_), true) => assert_eq!(result, 17),
            (Some((_, file)), false) => {
                assert_eq!(result, 0);
                self.files[file].1 += 1;
                self.model.insert(target, (new, file));
            }
        }
    }

    fn rename(&mut self, random: &mut Random) {
        // Every other one within a directory, where only the case may change.
        let ((from, from_path), old) = (random.directory(), random.name());
        let ((to, to_path), new) = match random.below(2) {
            0 => (random.directory(), random.name()),
            _ => ((from, from_path.clone()), random.name()),
        };
        let flags = match random.below(3) {
            0 => RenameFlags::RENAME_NOREPLACE,
            _ => RenameFlags::empty(),
        };
        let (source, target) = (Both::key(from, &old), Both::key(to, &new));
        let at = |path: &str, name: &str| self.folded.at(path).join(name);
        let result = renameat2(
            AT_FDCWD,
            &at(&from_path, &old),
            AT_FDCWD,
            &at(&to_path, &new),
            flags,
        );
        let result = result.err().map_or(0, |error| error as i32);
        let Some((name, file)) = self.model.get(&source).cloned() else {
            return assert_eq!(result, 2);
        };
        if source == target {
            // Only the case changes, unless it is the one that the name has, or no change is asked for.
            let same = old == new || name == new;
            assert_eq!(result, if same && !flags.is_empty() { 17 } else { 0 });
            if !same {
                self.model.insert(target, (new, file));
            }
            return;
        }
        match self.model.get(&target).cloned() {
            Some(_) if !flags.is_empty() => assert_eq!(result, 17),
            Some((_, other)) if other == file => assert_eq!(result, 0, "two names of one file"),
            replaced => {
                assert_eq!(result, 0);
                if let Some((_, other)) = replaced {
                    self.files[other].1 -= 1;
                }
                self.model.remove(&source);
                self.model.insert(target, (new, file));
            }
        }
    }

    /// Changes the case of a directory; files in it are open.
    fn rename_directory(&mut self, random: &mut Random) {
        let number = 1 + random.below(2);
        let (old, new) = (
            random.case(DIRECTORIES[number]),
            random.case(DIRECTORIES[number]),
        );
        fs::rename(self.folded.at(&old), self.folded.at(&new)).unwrap();
        if old != new {
            self.directories[number] = new;
        }
    }

    fn open(&mut self, random: &mut Random) {
        let ((directory, path), name) = (random.directory(), random.name());
        let at = self.folded.at(&path).join(&name);
        let opened = File::options().read(true).write(true).open(at);
        match self.model.get(&Both::key(directory, &name)) {
            Some((_, file)) => self.open.push((opened.unwrap(), *file)),
            None => assert_eq!(errno(opened), 2),
        }
        if self.open.len() > 10 {
            self.open.remove(0);
        }
    }

    fn write_open(&mut self, random: &mut Random, step: usize) {
        if self.open.is_empty() {
            return;
        }
        let (handle, file) = &self.open[random.below(self.open.len())];
        let text = format!("written in step {step}");
        handle.write_all_at(text.as_bytes(), 0).unwrap();
        handle.set_len(text.len() as u64).unwrap();
        self.files[*file].0 = text;
    }

    fn check(&self, random: &mut Random) {
        for (handle, file) in &self.open {
            let (text, links) = &self.files[*file];
            let is = handle.metadata().unwrap();
            assert_eq!((is.len(), is.nlink()), (text.len() as u64, *links));
            let mut read = vec![0; text.len()];
            handle.read_exact_at(&mut read, 0).unwrap();
            assert_eq!(&read, text.as_bytes());
        }
        for (number, directory) in self.directories.iter().enumerate() {
            for _ in 0..4 {
                let name = random.name();
                let at = self.folded.at(directory).join(&name);
                match self.model.get(&Both::key(number, &name)) {
                    Some((_, file)) => {
                        let (text, links) = &self.files[*file];
                        assert_eq!(&fs::read_to_string(&at).unwrap(), text);
                        assert_eq!(fs::metadata(&at).unwrap().nlink(), *links);
                    }
                    None => assert_eq!(errno(fs::metadata(&at)), 2, "{}", at.display()),
                }
            }
            let mut wanted: Vec<&str> = self
                .model
                .iter()
                .filter(|((at, _), _)| at == &number)
                .map(|(_, (name, _))| &name[..])
                .collect();
            if number == 0 {
                wanted.extend(self.directories[1..].iter().map(|name| &name[..]));
            }
            let wanted = common::set(&wanted);
            assert_eq!(self.folded.names(directory), wanted);
            assert_eq!(common::names(&self.folded.at(directory)), wanted);
        }
    }
}

#[test]
fn random_changes_in_random_cases_do_what_the_model_does() {
    in_namespaces(
        "random_changes_in_random_cases_do_what_the_model_does",
        || {
            for seed in [1, 2, 3] {
                let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ seed);
                // Over a plain directory, then over the kernel's overlay.
                let folded = Folded::prepared(|below| {
                    if seed == 3 {
                        overlay(below, |_| ());
                    }
                });
                for directory in &DIRECTORIES[1..] {
                    fs::create_dir(folded.at(directory)).unwrap();
                }
                let mut both = Both {
                    folded,
                    model: Model::new(),
                    files: Vec::new(),
                    open: Vec::new(),
                    directories: DIRECTORIES.map(String::from),
                };
                for step in 0..STEPS {
                    match random.below(9) {
                        0 => both.create(&mut random, true),
                        1 => both.create(&mut random, false),
                        2 => both.unlink(&mut random),
                        3 => both.link(&mut random),
                        4 | 5 => both.rename(&mut random),
                        6 => both.rename_directory(&mut random),
                        7 => both.open(&mut random),
                        _ => both.write_open(&mut random, step),
                    }
                    both.check(&mut random);
                }
                both.open.clear();
                both.folded.end();
            }
        },
    );
}
