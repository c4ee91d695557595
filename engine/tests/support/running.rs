//! A program that runs in a container while a test does something else.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::{Place, Ran};

/// A started image. It is killed when it goes out of scope, also when the test fails.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    /// Starts the command and waits for the line `ready`.
    pub fn ready(command: Command) -> Running {
        let mut running = Running::spawned(command);
        assert_eq!(running.line(), "ready\n");
        running
    }

    /// Starts the command.
    pub fn spawned(mut command: Command) -> Running {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Running {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// The supervisor.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// The next line of output.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    /// Types a line.
    pub fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Closes its input and waits for its end.
    pub fn end(mut self) -> Ran {
        drop(self.stdin.take());
        let mut ran = Ran {
            code: 0,
            out: String::new(),
            err: String::new(),
        };
        self.stdout.read_to_string(&mut ran.out).unwrap();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut ran.err).unwrap();
        ran.code = Ran::code(self.child.wait().unwrap());
        ran
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Place {
    /// Starts a shell script in the container, whose first line of output is `ready`.
    pub fn start(&self, script: &str) -> Running {
        Running::ready(self.image(&["fim-exec", "bash", "-c", script]))
    }
}
