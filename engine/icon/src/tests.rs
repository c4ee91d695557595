use super::picture::Picture;
use super::*;

fn picture(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 4]) -> Picture {
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    Picture {
        width,
        height,
        pixels: places.flat_map(|(x, y)| pixel(x, y)).collect(),
    }
}

fn sample(width: u32, height: u32) -> Vec<u8> {
    let red = |x: u32, y: u32| [200, (x % 7) as u8, (y % 5) as u8, 255];
    png::encode(&picture(width, height, red), None).unwrap()
}

const SVG: &[u8] = b"<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\"/>\n";

fn refusal(bytes: &[u8]) -> String {
    Icon::check(bytes.to_vec()).unwrap_err().to_string()
}

#[test]
fn a_png_stays_as_it_is_and_is_installed_in_every_size_with_its_mark() {
    let bytes = sample(100, 40);
    let icon = Icon::check(bytes.clone()).unwrap();
    assert_eq!(icon.bytes(), bytes);
    assert_eq!(Icon::stored(&icon.key(), bytes.clone()), Some(icon.clone()));
    assert_eq!(Icon::stored(&icon.key(), sample(100, 41)), None);
    let files = icon.files("flatimage:app-0123abcd").unwrap();
    assert_eq!(files.len(), SIZES.len());
    for (file, meant) in files.iter().zip(SIZES) {
        let File::Png { size, bytes } = file else {
            panic!("{file:?}")
        };
        let size = *size;
        assert_eq!(size, meant);
        let picture = png::decode(bytes).unwrap();
        assert_eq!((picture.width, picture.height), (size, size));
        let middle = (size / 2 * size + size / 2) as usize * 4;
        assert!(picture.pixels[middle].abs_diff(200) < 8 && picture.pixels[middle + 3] == 255);
        assert_eq!(picture.pixels[3], 0, "what it is too flat for is empty");
        let marked = bytes
            .windows(22)
            .any(|part| part == b"flatimage:app-0123abcd");
        assert!(marked);
    }
    assert_eq!(icon.pixels(48).unwrap().unwrap().bytes.len(), 48 * 48 * 4);
}

#[test]
fn pictures_keep_their_colours_whatever_their_size_becomes() {
    let flat = picture(37, 61, |_, _| [10, 20, 30, 128]);
    for side in [1, 16, 61, 256] {
        let scaled = flat.within(side);
        assert_eq!(scaled.height, side);
        for pixel in scaled.pixels.chunks_exact(4) {
            let near = pixel.iter().zip([10, 20, 30, 128]);
            assert!(
                near.into_iter()
                    .all(|(found, meant)| found.abs_diff(meant) <= 1)
            );
        }
    }
    // Half of it is green that cannot be seen: none of it shows.
    let half = picture(64, 64, |x, _| match x < 32 {
        true => [255, 0, 0, 255],
        false => [0, 255, 0, 0],
    });
    let scaled = half.within(16);
    assert!(scaled.pixels.chunks_exact(4).all(|pixel| pixel[1] <= 1));
    // A fine grid becomes grey and no stripes.
    let grid = picture(512, 512, |x, y| match (x + y) % 2 {
        0 => [0, 0, 0, 255],
        _ => [255, 255, 255, 255],
    });
    for pixel in grid.within(64).pixels.chunks_exact(4) {
        assert!(pixel[0].abs_diff(127) < 12, "{pixel:?}");
    }
}

#[test]
fn what_is_no_whole_icon_is_refused() {
    assert_eq!(refusal(b""), "it is no PNG, SVG or JPEG");
    assert_eq!(refusal(b"GIF89a"), "it is no PNG, SVG or JPEG");
    let whole = sample(64, 64);
    for length in [
        8,
        20,
        33,
        whole.len() / 2,
        whole.len() - 13,
        whole.len() - 1,
    ] {
        let reason = refusal(&whole[..length]);
        assert!(
            reason.starts_with("it is no whole PNG: "),
            "{length}: {reason}"
        );
    }
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    assert!(refusal(&damaged).starts_with("it is no whole PNG: "));
    for text in [
        "<svg",
        "<html/>",
        "<svg/>",
        "<a><b></a></b>",
        "<svg xmlns='x'/>",
    ] {
        let reason = refusal(text.as_bytes());
        assert!(
            reason.starts_with("it is no whole SVG: "),
            "{text}: {reason}"
        );
    }
    assert!(refusal(b"\xff\xd8\xff\xe0 and so on").starts_with("it is no whole JPEG: "));
}

#[test]
fn a_small_file_cannot_take_much_memory() {
    let mut wide = sample(16, 16);
    // The header's width and its checksum, which says nothing about how much follows.
    wide[16..20].copy_from_slice(&100_000u32.to_be_bytes());
    let sum = crc(&wide[12..29]);
    wide[29..33].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(
        refusal(&wide),
        "it is 100000 by 16 pixels large; at most 4096 by 4096 are read"
    );
    let deep = "<g>".repeat(100_000);
    let nested = format!("<svg xmlns=\"http://www.w3.org/2000/svg\">{deep}");
    assert!(refusal(nested.as_bytes()).starts_with("it is no whole SVG: "));
    let entities: String = (1..30)
        .map(|level| format!("<!ENTITY e{level} \"&e{0};&e{0};\">", level - 1))
        .collect();
    let bomb = format!(
        "<!DOCTYPE svg [<!ENTITY e0 \"ha\">{entities}]>\
         <svg xmlns=\"http://www.w3.org/2000/svg\">&e29;</svg>"
    );
    assert!(refusal(bomb.as_bytes()).starts_with("it is no whole SVG: "));
}

/// The checksum of a PNG's chunk.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    })
}

#[test]
fn an_svg_is_installed_as_it_is_with_a_mark() {
    let icon = Icon::check(SVG.to_vec()).unwrap();
    let files = icon.files("flatimage:app-0123abcd").unwrap();
    let [File::Svg(bytes)] = files.as_slice() else {
        panic!("{files:?}")
    };
    svg::check(bytes).unwrap();
    assert!(String::from_utf8_lossy(bytes).contains("flatimage:app-0123abcd"));
    assert_eq!(icon.pixels(48).unwrap(), None);
    let with_doctype =
        b"\xef\xbb\xbf <!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" \"svg11.dtd\">\n\
        <svg xmlns=\"http://www.w3.org/2000/svg\"><text>\xc3\x9c</text></svg>";
    Icon::check(with_doctype.to_vec()).unwrap();
}

#[test]
fn of_a_jpeg_a_png_is_kept() {
    let icon = Icon::check(include_bytes!("sample.jpg").to_vec()).unwrap();
    let picture = png::decode(icon.bytes()).unwrap();
    assert_eq!((picture.width, picture.height), (256, 128));
    let left = &picture.pixels[..4];
    assert!(left[0] > 240 && left[1] < 16 && left[2] < 16, "{left:?}");
    let cut = include_bytes!("sample.jpg");
    assert!(refusal(&cut[..cut.len() / 2]).starts_with("it is no whole JPEG: "));
}
