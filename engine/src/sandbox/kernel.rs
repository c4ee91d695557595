//! The one way in which a plan acts.
//!
//! [`build`] makes the root that instances share, [`run`] an instance in it. Both go through the plan in order; what
//! they ask for is done by a [`RootKernel`] and a [`Kernel`]. The real ones are [`super::builder::Builder`]
//! and [`super::native::Native`]. Recording ones show in tests that nothing is done after a failure, at
//! whichever call it happens.

use crate::plan::{Exec, Filter, Identity, Plan, RootAction, Step};

use super::failure::Failure;

/// What the shared root of a plan needs of the kernel. Called in the order of the methods, `perform` once a step.
pub trait RootKernel {
    /// Becomes root of the new namespaces, and makes what the steps need ready.
    fn prepare(&mut self, plan: &Plan) -> Result<(), Failure>;
    /// Does one step.
    fn perform(&mut self, step: &Step<RootAction>) -> Result<(), Failure>;
    /// Gives the root to whoever enters it.
    fn hand_over(&mut self) -> Result<(), Failure>;
}

/// Builds the shared root of a plan.
///
/// # Errors
/// The first failure; nothing is done after it. What was done before is undone by the end of
/// the namespaces it was done in.
pub fn build(plan: &Plan, kernel: &mut impl RootKernel) -> Result<(), Failure> {
    kernel.prepare(plan)?;
    for step in &plan.root {
        kernel.perform(step)?;
    }
    kernel.hand_over()
}

/// What an instance of a plan needs of the kernel. Called in the order of the methods, `perform` once a step.
pub trait Kernel {
    /// Makes what the steps need ready.
    fn prepare(&mut self, plan: &Plan) -> Result<(), Failure>;
    /// Does one step.
    fn perform(&mut self, step: &Step) -> Result<(), Failure>;
    /// Makes what was built the root; the host is out of sight from then on.
    fn enter_root(&mut self) -> Result<(), Failure>;
    /// Gives up everything that the program must not have.
    fn restrict(&mut self, identity: &Identity, exec: &Exec) -> Result<(), Failure>;
    /// Denies this process and all that it starts what the filter denies.
    fn filter(&mut self, filter: &Filter) -> Result<(), Failure>;
    /// Executes the program and answers its exit code when it has ended.
    fn execute(&mut self, exec: &Exec) -> Result<u8, Failure>;
}

/// Runs an instance of a plan to its end.
///
/// # Errors
/// The first failure; nothing is done after it. What was done before is undone by the end of
/// the namespaces it was done in.
pub fn run(plan: &Plan, kernel: &mut impl Kernel) -> Result<u8, Failure> {
    kernel.prepare(plan)?;
    for step in &plan.steps {
        kernel.perform(step)?;
    }
    kernel.enter_root()?;
    kernel.restrict(&plan.identity, &plan.exec)?;
    kernel.filter(&plan.filter)?;
    kernel.execute(&plan.exec)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::*;
    use flatimage_reserved::effect::Stacker;

    use crate::plan::{Action, IdMap, Rung, Stack, Upper};

    /// Writes down what it is asked, and fails at one call.
    struct Recorder {
        calls: Vec<String>,
        fails_at: usize,
    }

    impl Recorder {
        fn call(&mut self, name: impl ToString) -> Result<(), Failure> {
            if self.calls.len() == self.fails_at {
                return Err(Failure::ours(format!("call {}", self.fails_at)));
            }
            self.calls.push(name.to_string());
            Ok(())
        }
    }

    impl Kernel for Recorder {
        fn prepare(&mut self, _: &Plan) -> Result<(), Failure> {
            self.call("prepare")
        }
        fn perform(&mut self, step: &Step) -> Result<(), Failure> {
            self.call(&step.action)
        }
        fn enter_root(&mut self) -> Result<(), Failure> {
            self.call("enter root")
        }
        fn restrict(&mut self, _: &Identity, _: &Exec) -> Result<(), Failure> {
            self.call("restrict")
        }
        fn filter(&mut self, _: &Filter) -> Result<(), Failure> {
            self.call("filter")
        }
        fn execute(&mut self, _: &Exec) -> Result<u8, Failure> {
            self.call("execute").map(|()| 7)
        }
    }

    impl RootKernel for Recorder {
        fn prepare(&mut self, _: &Plan) -> Result<(), Failure> {
            self.call("prepare")
        }
        fn perform(&mut self, step: &Step<RootAction>) -> Result<(), Failure> {
            self.call(&step.action)
        }
        fn hand_over(&mut self) -> Result<(), Failure> {
            self.call("hand over")
        }
    }

    fn plan() -> Plan {
        let tmpfs = |target: &str| Step {
            action: Action::Tmpfs {
                target: target.into(),
                mode: 0o755,
            },
            cause: "default".into(),
        };
        Plan {
            rung: Rung::default(),
            namespaces: vec!["user"],
            identity: Identity {
                uid: 1,
                gid: 1,
                map: IdMap::Single { uid: 1, gid: 1 },
            },
            layers: Vec::new(),
            root: vec![Step {
                action: RootAction::Overlay {
                    upper: Upper::Memory,
                    stack: Stack {
                        with: Stacker::Kernel,
                        instead: None,
                        further: Vec::new(),
                    },
                },
                cause: "default".into(),
            }],
            steps: vec![tmpfs("/a"), tmpfs("/b")],
            filter: Filter::default(),
            admitted: None,
            wanted: Vec::new(),
            exec: Exec {
                program: "x".into(),
                arguments: Vec::new(),
                environment: BTreeMap::new(),
                directories: vec![PathBuf::from("/")],
                terminal: Vec::new(),
                capabilities: Vec::new(),
            },
        }
    }

    #[test]
    fn everything_is_done_in_order_and_the_program_comes_last() {
        let mut recorder = Recorder {
            calls: Vec::new(),
            fails_at: usize::MAX,
        };
        assert_eq!(run(&plan(), &mut recorder).unwrap(), 7);
        let steps = ["tmpfs      /a mode 755", "tmpfs      /b mode 755"];
        let expected = [
            &["prepare"],
            &steps[..],
            &["enter root", "restrict", "filter", "execute"],
        ]
        .concat();
        assert_eq!(recorder.calls, expected);
    }

    #[test]
    fn the_root_is_handed_over_only_when_it_is_whole() {
        for fails_at in 0..3 {
            let mut recorder = Recorder {
                calls: Vec::new(),
                fails_at,
            };
            let failure = build(&plan(), &mut recorder).unwrap_err();
            assert_eq!(failure.text, format!("call {fails_at}"));
            let calls = ["prepare", "overlay    changes in memory"];
            assert_eq!(recorder.calls, calls[..fails_at]);
        }
    }

    #[test]
    fn nothing_is_done_after_a_failure_at_whichever_call() {
        for fails_at in 0..7 {
            let mut recorder = Recorder {
                calls: Vec::new(),
                fails_at,
            };
            let failure = run(&plan(), &mut recorder).unwrap_err();
            assert_eq!(failure.text, format!("call {fails_at}"));
            assert_eq!(recorder.calls.len(), fails_at);
        }
    }
}
