//! The one way in which a plan acts.
//!
//! [`run`] goes through a plan in order; what it asks for is done by a [`Kernel`]. The real one
//! is [`super::native::Native`]. A recording one shows in tests that nothing is done after a
//! failure, at whichever call it happens.

use crate::plan::{Exec, Identity, Plan, Step};

use super::failure::Failure;

/// What a plan needs of the kernel. Called in the order of the methods, `perform` once a step.
pub trait Kernel {
    /// Becomes root of the new namespaces, and makes what the steps need ready.
    fn prepare(&mut self, plan: &Plan) -> Result<(), Failure>;
    /// Does one step.
    fn perform(&mut self, step: &Step) -> Result<(), Failure>;
    /// Makes what was built the root; the host is out of sight from then on.
    fn enter_root(&mut self) -> Result<(), Failure>;
    /// Gives up everything that the program must not have.
    fn restrict(&mut self, identity: &Identity, exec: &Exec) -> Result<(), Failure>;
    /// Executes the program and answers its exit code when it has ended.
    fn execute(&mut self, exec: &Exec) -> Result<u8, Failure>;
}

/// Runs a plan to its end.
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
    kernel.execute(&plan.exec)
}
