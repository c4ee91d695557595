//! What a setting does to the container, as declared: the nouns of plan steps with placeholders in them.
//!
//! `{value}`, `{key}` and `{field}` are placeholders for the value of the region; `$NAME` names a variable of the host
//! and is expanded when the container starts. [`crate::active::active`] turns these into what a value switches on.

/// A declared effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// A path of the host appears in the container.
    Bind {
        /// Path on the host.
        source: &'static str,
        /// Path in the container.
        target: &'static str,
        /// What the container may do with it.
        access: AccessDecl,
        /// What happens when the host has no such path.
        missing: Missing,
        /// `source` is a pattern (`*`, `?` in the last component) and `target` the same for every path that matches, or the
        /// directory that all matches are in.
        glob: bool,
    },
    /// Shared libraries of the host appear, read-only.
    Libraries {
        /// Patterns of the names that programs ask for.
        names: &'static [&'static str],
        /// Directory in the container; they are in `lib` and `lib32` below it.
        target: &'static str,
    },
    /// A variable is set in the container.
    Setenv {
        /// Name of the variable.
        name: &'static str,
        /// Its value.
        value: &'static str,
    },
    /// An empty filesystem in memory.
    Tmpfs {
        /// Path in the container.
        target: &'static str,
    },
    /// A symbolic link.
    Symlink {
        /// Path of the link in the container.
        link: &'static str,
        /// What it points to.
        target: &'static str,
    },
    /// A namespace of the host is kept instead of a new one.
    Share {
        /// Which one.
        namespace: Namespace,
    },
    /// Names of files in the root are found in any case.
    Fold,
    /// The container has the caller's subordinate ids besides the caller's own.
    Subordinate,
    /// Rules of the filter of system calls do not hold.
    Allow {
        /// Their names.
        rules: &'static [&'static str],
    },
    /// Rules of the filter of system calls hold that answer calls as if they had been done.
    Emulate {
        /// Their names.
        rules: &'static [&'static str],
    },
    /// A file in memory.
    File {
        /// Path in the container.
        target: &'static str,
        /// What it holds.
        text: &'static str,
    },
    /// What is hidden or read-only by default at a path and below it stays as it is.
    Unmask {
        /// Path in the container.
        target: &'static str,
    },
    /// Programs start in a directory.
    Enter {
        /// Path in the container.
        directory: &'static str,
    },
    /// The layers and the changes are stacked by this.
    Stack {
        /// Who does it.
        with: Stacker,
    },
    /// Programs in the container can ask for programs of the host to be run.
    Portal,
    /// A program of the host that may be run for the container.
    Admit {
        /// A path with `*` and `?`, a name, or `*`.
        program: &'static str,
    },
    /// A message bus of the host appears as a socket, filtered.
    Bus {
        /// Its address on the host.
        address: &'static str,
        /// Path of the socket in the container.
        target: &'static str,
        /// Names that can be called; `.*` at the end stands for every name below.
        talk: &'static [&'static str],
        /// Names that can be owned.
        own: &'static [&'static str],
    },
    /// The effects once for every entry of a map or record of a list.
    ForEach {
        /// What each brings.
        effects: &'static [Effect],
    },
    /// The effects, when all conditions hold.
    When {
        /// All of these must hold.
        conditions: &'static [Condition],
        /// What happens then.
        effects: &'static [Effect],
    },
}

/// What a container may do with a bound path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read.
    Ro,
    /// Read and write.
    Rw,
    /// Read and write, device nodes included.
    Dev,
}

/// Where the access of a bind is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessDecl {
    /// In the declaration.
    Is(Access),
    /// In the field of that name of each record.
    Field(&'static str),
}

/// What happens when a path is not there on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The bind is left out.
    Skip,
    /// The container does not start.
    Fail,
}

/// A kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// User and group ids.
    User,
    /// System V and POSIX message queues, shared memory.
    Ipc,
    /// Processes.
    Pid,
    /// Network devices, addresses, ports.
    Net,
    /// Host name.
    Uts,
    /// The view of control groups.
    Cgroup,
}

/// Who stacks the layers and the changes into the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stacker {
    /// The kernel's own overlayfs.
    Kernel,
    /// The program of that name, over FUSE.
    FuseOverlayfs,
    /// The program of that name, over FUSE.
    UnionfsFuse,
}

/// A condition on the host, the request or the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The variable of that name is set on the host.
    Env(&'static str),
    /// The path exists on the host; `$NAME` is expanded in it.
    Exists(&'static str),
    /// The program runs as root in the container (`true`) or not (`false`).
    Root(bool),
    /// The caller is root on the host (`true`) or not (`false`).
    Privileged(bool),
    /// The value of the flag (`on`, `off`) or the choice is this one.
    Is(&'static str),
}

impl Access {
    /// The access of that name: `ro`, `rw` or `dev`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "ro" => Some(Self::Ro),
            "rw" => Some(Self::Rw),
            "dev" => Some(Self::Dev),
            _ => None,
        }
    }

    /// `ro`, `rw` or `dev`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ro => "ro",
            Self::Rw => "rw",
            Self::Dev => "dev",
        }
    }
}

impl Stacker {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Self; 3] = [Self::Kernel, Self::FuseOverlayfs, Self::UnionfsFuse];

    /// The name in a declaration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::FuseOverlayfs => "fuse-overlayfs",
            Self::UnionfsFuse => "unionfs-fuse",
        }
    }

    /// The stacker of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// The program that does it, which an image brings along; `None` when it is the kernel.
    #[must_use]
    pub const fn program(self) -> Option<&'static str> {
        match self {
            Self::Kernel => None,
            Self::FuseOverlayfs => Some("fuse-overlayfs"),
            Self::UnionfsFuse => Some("unionfs"),
        }
    }
}

impl Namespace {
    /// Lower-case name, as in `/proc/self/ns`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Ipc => "ipc",
            Self::Pid => "pid",
            Self::Net => "net",
            Self::Uts => "uts",
            Self::Cgroup => "cgroup",
        }
    }
}
