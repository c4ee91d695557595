//! What people read: the help of every command.

use flatimage_reserved::declared::{ACTIONS, REGIONS, help};

#[test]
fn help_reads_like_this() {
    let mut text = help(None).expect("the overview");
    let commands = REGIONS.iter().filter_map(|region| region.command);
    for command in commands.chain(ACTIONS.iter().map(|action| action.name)) {
        text.push_str(&format!(
            "\n======== fim-help {command}\n{}",
            help(Some(command)).expect("help")
        ));
    }
    insta::assert_snapshot!(text);
}
