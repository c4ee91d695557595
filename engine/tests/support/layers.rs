//! Layers for tests, packed by the image itself.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Place, Ran, Who};

impl Place {
    /// Packs the tree `root`, which must be the user's, and removes it.
    pub fn pack(&self, root: &Path, name: &str) -> PathBuf {
        let file = self.path().join(name);
        let mut create = self.image(&["fim-layer", "create"]);
        create.arg(root).arg(&file);
        let ran = Ran::of(create);
        assert_eq!(ran.code, 0, "{ran:?}");
        fs::remove_dir_all(root).unwrap();
        file
    }

    /// A layer that has these files.
    pub fn layer(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let root = self.path().join("tree");
        fs::create_dir(&root).unwrap();
        for (file, contents) in files {
            fs::write(root.join(file), contents).unwrap();
            self.give(&root.join(file));
        }
        self.give(&root);
        self.pack(&root, name)
    }

    /// Adds a layer to the image, and removes its file.
    pub fn add_layer(&self, file: &Path) {
        self.succeed(&["fim-layer", "add", &file.to_string_lossy()]);
        fs::remove_file(file).unwrap();
    }

    /// A blueprint with a layer of the files `first` and `second`.
    pub fn with_layer(who: Who) -> Place {
        let place = Place::blueprint(who);
        let file = place.layer("one.layer", &[("first", "1\n"), ("second", "2\n")]);
        place.add_layer(&file);
        place
    }
}
