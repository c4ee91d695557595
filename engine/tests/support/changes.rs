//! A root filesystem with files to change, and every kind of change to it.
#![allow(dead_code, reason = "every test program uses a part of this")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use super::{Place, Ran, Who};

/// Everything below `/t` that a program could see: kinds, modes, owners, times, links and contents.
pub const SNAPSHOT: &str = "cd /t; \
    find . -type d | sort | xargs stat -c '%n %F %a %u %g %Y'; \
    find . ! -type d | sort | xargs stat -c '%N %F %a %u %g %Y %h %s'; \
    find . -type f | sort | xargs md5sum";

/// Changes of every kind to the layer of [`with_layer`].
pub const CHANGES: &str = "set -e; cd /t; rm gone; rm -r tree; \
    rm -r remade; mkdir remade; echo new > remade/new; echo more >> appended; \
    echo x > program; chmod 4755 program; ln program hard; touch -d @1000000001 program; \
    ln -s nowhere link; mkdir -m 2775 shared; echo s > shared/secret; chmod 000 shared/secret; \
    mkfifo fifo; mkdir closed; echo c > closed/file; touch -d @1000000002 closed; chmod 000 closed";

/// A blueprint with a layer of files to change.
pub fn with_layer(who: Who) -> Place {
    let place = Place::blueprint(who);
    let tree = place.path().join("tree");
    for (name, contents) in [
        ("t/gone", "1"),
        ("t/tree/a", "2"),
        ("t/tree/below/b", "3"),
        ("t/appended", "4"),
        ("t/kept", "5"),
        ("t/remade/old", "6"),
        ("t/remade/older/x", "7"),
    ] {
        let path = tree.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }
    give_all(&place, &tree);
    let file = place.path().join("base.layer");
    let mut create = place.image(&["fim-layer", "create"]);
    create.arg(&tree).arg(&file);
    assert_eq!(Ran::of(create).code, 0);
    place.succeed(&["fim-layer", "add", &file.to_string_lossy()]);
    fs::remove_file(file).unwrap();
    fs::remove_dir_all(tree).unwrap();
    place
}

/// Gives a whole tree to the user of the place.
pub fn give_all(place: &Place, tree: &Path) {
    give_all_as(tree, &place.home());
}

/// Gives a whole tree to whoever has `like`.
pub fn give_all_as(tree: &Path, like: &Path) {
    let owner = fs::metadata(like).unwrap();
    let owner = format!("{}:{}", owner.uid(), owner.gid());
    let mut give = Command::new("chown");
    give.args(["-hR", &owner]).arg(tree);
    assert!(give.status().unwrap().success());
}

/// Runs a script as root of the container.
pub fn root(place: &Place, script: &str) -> String {
    place.succeed(&["fim-root", "bash", "-c", script])
}

pub fn snapshot(place: &Place) -> String {
    root(place, SNAPSHOT)
}
