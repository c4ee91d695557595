//! The tour in the book is what a reader sees.

mod support;

use support::{Place, Who, chapter, everybody};

#[test]
fn five_minutes_go_as_the_book_says() {
    for who in everybody() {
        let place = Place::blueprint(who);
        chapter::run(&place, &chapter::read("five-minutes.md"));
        place.assert_gone();
    }
}

#[test]
fn a_damaged_setting_is_shown_as_such_and_the_others_as_they_are() {
    let place = Place::blueprint(Who::Caller);
    place.succeed(&["fim-env", "add", "A=a-word-to-be-found"]);
    let bytes = std::fs::read(&place.image).unwrap();
    let found = bytes
        .windows(14)
        .position(|window| window == b"a-word-to-be-f");
    support::store::flip(&place, found.unwrap() as u64);

    let ran = place.run(&["fim-show"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("`environment`"), "{}", ran.err);
    let states: Vec<_> = ran
        .out
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    let damaged = states.iter().filter(|state| **state == "damaged").count();
    assert_eq!(damaged, 1, "{}", ran.out);
    let json = place.run(&["fim-show", "--json"]).out;
    assert!(
        json.contains("\"state\": \"damaged\"") && !json.contains('\x1b'),
        "{json}"
    );
}
