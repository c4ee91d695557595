//! The declaration of the project itself.

#[test]
fn the_declaration_has_no_mistakes() {
    let text = include_str!("../reserved.yaml");
    match flatimage_schema::load("schema/reserved.yaml", text) {
        Ok(model) => assert!(
            model.layout().len() < 3072,
            "the layout has to fit the superblock"
        ),
        Err(report) => panic!("{report}"),
    }
}
