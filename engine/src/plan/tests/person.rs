//! Who one is in the container, as planned.

use super::*;

#[test]
fn who_one_is_inside_is_the_caller_root_or_what_is_set() {
    let host = host(&[], &[]);
    let identity = |as_root, set: &[(&str, &str)]| {
        static EFFECTS: [Effect; 1] = [Effect::ForEach {
            effects: &[Effect::Setenv {
                name: "{key}",
                value: "{value}",
            }],
        }];
        static REGION: RegionDecl = region(Encoding::Map, &EFFECTS);
        let map: BTreeMap<String, String> = set
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect();
        let request = Request {
            as_root,
            ..request(&[])
        };
        let plan = build(&[(&REGION, Value::Map(map))], &host, &request).unwrap();
        let (identity, environment) = (plan.identity, plan.exec.environment);
        (
            identity.uid,
            identity.gid,
            environment["HOME"].clone(),
            environment["USER"].clone(),
        )
    };
    assert_eq!(
        identity(false, &[]),
        (1000, 100, "/home/ana".into(), "ana".into())
    );
    assert_eq!(identity(true, &[]), (0, 0, "/root".into(), "root".into()));
    let set = [("UID", "5"), ("GID", "no"), ("HOME", "/h"), ("USER", "bo")];
    assert_eq!(identity(false, &set), (5, 100, "/h".into(), "bo".into()));
}

#[test]
fn real_root_gets_ids_of_its_own_and_no_others() {
    let host = Host {
        uid: 0,
        gid: 0,
        ..host(&[], &[])
    };
    let plan = build(&[], &host, &request(&[])).unwrap();
    assert_eq!(
        plan.identity.map,
        IdMap::Range {
            first: 524_288,
            count: 65_536
        }
    );
    assert_eq!((plan.identity.uid, plan.identity.gid), (0, 0));
    assert!(plan.exec.capabilities.is_empty());
    let high = Host {
        gid: 70_000,
        ..host
    };
    let error = build(&[], &high, &request(&[])).unwrap_err().to_string();
    assert!(
        error.contains("the id 70000 is outside of 0 to 65535"),
        "{error}"
    );
}
