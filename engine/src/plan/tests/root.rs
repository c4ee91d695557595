//! The root that instances share, as planned.

use super::*;

#[test]
fn folding_is_the_last_step_of_the_root_and_never_left_out_in_silence() {
    static EFFECTS: [Effect; 1] = [Effect::Fold];
    let plan = plan_of(&EFFECTS, "v", &host(&[], &[]), &request(&[])).unwrap();
    let last = plan.root.last().unwrap();
    assert_eq!(
        (&last.action, last.cause.as_str()),
        (&RootAction::Fold, "setting")
    );
    assert!(plan.is_folded());
    let without_fuse = Host {
        no_fuse: Some("/dev/fuse is away".into()),
        ..host(&[], &[])
    };
    let error = plan_of(&EFFECTS, "v", &without_fuse, &request(&[])).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("needs FUSE, and /dev/fuse is away;"),
        "{error}"
    );
}

#[test]
fn who_cannot_stack_is_replaced_with_a_reason_as_often_as_there_is_somebody() {
    static EFFECTS: [Effect; 1] = [Effect::Stack {
        with: Stacker::FuseOverlayfs,
    }];
    let stack = |host: &Host, request: &Request| {
        let plan = plan_of(&EFFECTS, "v", host, request).unwrap();
        (plan.stack().unwrap().clone(), plan)
    };
    let (able, plan) = stack(&host(&[], &[]), &request(&[]));
    assert_eq!((able.with, &able.instead), (Stacker::FuseOverlayfs, &None));
    let next = plan.restacked("it ended").unwrap();
    let expected = "it ended; the kernel's overlayfs stacks the layers instead";
    let found = next.stack().unwrap();
    assert_eq!(
        (found.with, found.instead.as_deref()),
        (Stacker::Kernel, Some(expected))
    );
    assert_eq!(next.restacked("again"), None);

    let without_fuse = Host {
        no_fuse: Some("/dev/fuse is away".into()),
        ..host(&[], &[])
    };
    let without_program = Request {
        programs: Vec::new(),
        ..request(&[])
    };
    for (host, request, reason) in [
        (without_fuse, request(&[]), "/dev/fuse is away"),
        (
            host(&[], &[]),
            without_program,
            "the image brings no `fuse-overlayfs` along",
        ),
    ] {
        let (replaced, plan) = stack(&host, &request);
        assert_eq!(replaced.with, Stacker::Kernel);
        assert!(replaced.instead.unwrap().contains(reason));
        assert_eq!(plan.restacked("it refuses"), None);
    }
}

#[test]
fn an_image_without_entries_has_no_layers_to_mount() {
    let empty = Request {
        layers: Vec::new(),
        ..request(&[])
    };
    let plan = build(&[], &host(&[], &[]), &empty).unwrap();
    assert!(
        !plan
            .root
            .iter()
            .any(|step| matches!(step.action, RootAction::Layers { .. }))
    );
    let plan = build(&[], &host(&[], &[]), &request(&[])).unwrap();
    assert_eq!(
        plan.root[0].action,
        RootAction::Layers {
            count: 1,
            way: Way::Fuse
        }
    );
}

#[test]
fn without_fuse_layers_are_unpacked_and_the_plan_says_why() {
    let host = Host {
        no_fuse: Some("/dev/fuse is away".into()),
        ..host(&[], &[])
    };
    let plan = build(&[], &host, &request(&[])).unwrap();
    assert_eq!(
        plan.root[0].to_string(),
        "layers     1 unpacked in the cache, because /dev/fuse is away  # default"
    );
}
