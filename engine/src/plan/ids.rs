//! Which ids of the host stand behind the ids of the container.

use flatimage_reserved::active::{Active, active};
use flatimage_reserved::decl::RegionDecl;
use flatimage_reserved::value::Value;
use serde::Serialize;

use super::error::PlanError;
use crate::host::{Host, SubordinateIds};

/// Where the container ids of real root begin on the host: above what distributions give to
/// users and to `systemd-homed`, below the ranges that `useradd` hands out as subordinate ids
/// only on hosts with many users.
pub const ROOT_RANGE: IdMap = IdMap::Range {
    first: 524_288,
    count: 65_536,
};

/// How many subordinate ids a container has at most: what distributions give, and enough for every id that packages use.
const MOST: u32 = 65_536;

/// Which ids of the host stand behind the ids of the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IdMap {
    /// The caller's own id stands behind the program's id; there is no other.
    Single {
        /// The caller's user id.
        uid: u32,
        /// The caller's group id.
        gid: u32,
    },
    /// `count` ids from 0 on are the host's ids from `first` on: what real root gets, so
    /// that no id of the container is an id that means something on the host.
    Range {
        /// First id of the host.
        first: u32,
        /// How many.
        count: u32,
    },
    /// The caller's own id, which is the same inside, and around it ids that only the caller's containers have (subuid(5)).
    Subordinate {
        /// User ids, in the order of the container's.
        uids: Vec<Extent>,
        /// Group ids.
        gids: Vec<Extent>,
    },
}

/// Ids that follow each other inside as well as outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Extent {
    /// The first of the container.
    pub inside: u32,
    /// The one of the host that stands behind it.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

impl IdMap {
    /// That of the containers of `host`'s caller with these settings.
    ///
    /// # Errors
    /// When subordinate ids are asked for and cannot be had.
    pub fn of(settings: &[(&'static RegionDecl, Value)], host: &Host) -> Result<IdMap, PlanError> {
        if host.uid == 0 {
            return Ok(ROOT_RANGE);
        }
        let mut caused = settings
            .iter()
            .flat_map(|(region, value)| active(region, value));
        match caused.find(|caused| caused.effect == Active::Subordinate) {
            Some(caused) => subordinate(host, &caused.cause),
            None => Ok(IdMap::Single {
                uid: host.uid,
                gid: host.gid,
            }),
        }
    }

    /// Whether there is one id only.
    pub fn is_single(&self) -> bool {
        matches!(self, IdMap::Single { .. })
    }

    /// The user ids and the group ids, unless there is one only.
    pub fn extents(&self) -> Option<[Vec<Extent>; 2]> {
        match self {
            IdMap::Single { .. } => None,
            IdMap::Range { first, count } => {
                let all = Extent {
                    inside: 0,
                    outside: *first,
                    count: *count,
                };
                Some([vec![all], vec![all]])
            }
            IdMap::Subordinate { uids, gids } => Some([uids.clone(), gids.clone()]),
        }
    }

    /// The first of the ids that the container does not have; ids are not missing where there is one only, since that
    /// one can be any.
    pub fn missing(&self, uid: u32, gid: u32) -> Option<u32> {
        let [uids, gids] = self.extents()?;
        let lacks = |extents: &[Extent], id: u32| !extents.iter().any(|extent| extent.has(id));
        (lacks(&uids, uid).then_some(uid)).or_else(|| lacks(&gids, gid).then_some(gid))
    }

    /// How many ids from 0 on the container has without a gap.
    pub fn count(&self) -> u32 {
        let [uids, gids] = match self.extents() {
            Some(extents) => extents,
            None => return 1,
        };
        [uids, gids]
            .iter()
            .map(|ids| unbroken(ids))
            .min()
            .unwrap_or(0)
    }
}

impl Extent {
    fn has(&self, id: u32) -> bool {
        id.checked_sub(self.inside)
            .is_some_and(|place| place < self.count)
    }
}

fn unbroken(extents: &[Extent]) -> u32 {
    extents
        .iter()
        .fold(0, |end, extent| match extent.inside == end {
            true => end.saturating_add(extent.count),
            false => end,
        })
}

fn subordinate(host: &Host, cause: &str) -> Result<IdMap, PlanError> {
    let cause = || cause.to_owned();
    if let Some(reason) = &host.no_fuse {
        return Err(PlanError::NoFuse {
            reason: reason.clone(),
            cause: cause(),
        });
    }
    let Some(SubordinateIds { uids, gids }) = host.subordinate_ids() else {
        return Err(PlanError::NoSubordinateIds {
            user: host.account.name.clone(),
            cause: cause(),
        });
    };
    if ["newuidmap", "newgidmap"]
        .iter()
        .any(|name| host.program(name).is_none())
    {
        return Err(PlanError::NoIdPrograms { cause: cause() });
    }
    Ok(IdMap::Subordinate {
        uids: around(host.uid, uids),
        gids: around(host.gid, gids),
    })
}

/// The ids from 0 on, of which `own` is the caller's and the others, in order, are those from `first` on.
fn around(own: u32, (first, count): (u32, u32)) -> Vec<Extent> {
    let count = count.min(MOST);
    let extent = |inside, outside, count| Extent {
        inside,
        outside,
        count,
    };
    let below = own.min(count);
    let above = own.saturating_add(1);
    let extents = [
        extent(0, first, below),
        extent(own, own, 1),
        extent(above, first + below, count - below),
    ];
    extents
        .into_iter()
        .filter(|extent| extent.count > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extents(own: u32, count: u32) -> Vec<(u32, u32, u32)> {
        let found = around(own, (100_000, count));
        found
            .iter()
            .map(|extent| (extent.inside, extent.outside, extent.count))
            .collect()
    }

    #[test]
    fn the_callers_id_stays_and_the_others_are_around_it() {
        assert_eq!(
            extents(1000, 65_536),
            [(0, 100_000, 1000), (1000, 1000, 1), (1001, 101_000, 64_536)]
        );
        assert_eq!(extents(70_000, 10), [(0, 100_000, 10), (70_000, 70_000, 1)]);
        assert_eq!(extents(10, 10), [(0, 100_000, 10), (10, 10, 1)]);
        // No more than there are places for.
        assert_eq!(extents(70_000, 100_000)[0], (0, 100_000, 65_536));
    }

    #[test]
    fn ids_that_are_missing_are_found() {
        let map = IdMap::Subordinate {
            uids: around(70_000, (100_000, 10)),
            gids: around(5, (100_000, 10)),
        };
        assert_eq!(map.missing(70_000, 10), None);
        assert_eq!(map.missing(10, 0), Some(10));
        assert_eq!(map.missing(0, 11), Some(11));
        assert_eq!(map.count(), 10);
        let single = IdMap::Single { uid: 7, gid: 8 };
        assert_eq!((single.missing(5, 5), single.count()), (None, 1));
        assert_eq!(ROOT_RANGE.missing(0, 65_536), Some(65_536));
    }
}
