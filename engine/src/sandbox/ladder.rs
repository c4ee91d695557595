//! What is tried when the host refuses what the one before needed.
//!
//! 1. This program makes the namespaces.
//! 2. A program of the host that may makes them ([lent](super::lent)), and all else is the same.
//!
//! A start finds out by being refused, so that who is not refused pays for nothing.

use std::os::fd::OwnedFd;

use super::Context;
use super::failure::Failure;
use super::lent::{self, Lent};
use super::shared::{Key, Ready, SharedRoot};
use crate::plan::{Maker, Plan};
use crate::trace::trace;

/// The same plan one rung lower, and what is needed for it.
///
/// # Errors
/// `refusal` when there is none.
pub fn next(plan: &Plan, refusal: Failure, context: &Context<'_>) -> Result<(Plan, Lent), Failure> {
    let program = match plan.rung.maker {
        Maker::Native => lent::lender(),
        Maker::Bwrap(_) | Maker::Nobody => None,
    };
    let Some(program) = program else {
        return Err(refusal);
    };
    trace(|| format!("refused: {}", refusal.text));
    match lent::borrow(&program, &plan.identity, None) {
        Ok(lent) => {
            let plan = plan.lent_by(&program, &refusal.text);
            trace(|| plan.rung.to_string());
            Ok((plan, lent))
        }
        Err(reason) => {
            trace(|| format!("{} does not help: {reason}", program.display()));
            let _ = context;
            Err(refusal)
        }
    }
}

/// New namespaces for a plan whose namespaces are lent, instead of those that were built in.
///
/// # Errors
/// When they are not lent any more.
pub fn renew(plan: &Plan) -> Result<Option<Lent>, Failure> {
    let borrow = |program| lent::borrow(program, &plan.identity, None);
    plan.lender().map(borrow).transpose().map_err(Failure::ours)
}

/// What a start needs to enter the root of a running instance, of process `pid`.
///
/// # Errors
/// When its user namespace is one that was lent, and none can be nested in it.
pub fn join(plan: &Plan, root: SharedRoot, key: &Key, pid: u32) -> Result<Ready, Failure> {
    let nested = match key.is_lent() {
        false => None,
        true => Some(nest(plan, &root).map_err(|reason| {
            Failure::ours(format!(
                "process {pid} runs a container of this data directory in namespaces that bwrap made, and there are no further                  ones ({reason}); wait for its end or choose another data directory with FIM_DIR_DATA"
            ))
        })?),
    };
    Ok(Ready {
        root,
        entering: None,
        nested,
        is_lent: key.is_lent(),
    })
}

fn nest(plan: &Plan, root: &SharedRoot) -> Result<OwnedFd, String> {
    let program = lent::lender().ok_or("the PATH has no bwrap that is root's")?;
    lent::borrow(&program, &plan.identity, Some(&root.user)).map(|lent| lent.nested)
}
