//! PNG in and out.

use std::io::Cursor;

use png::{BitDepth, ColorType, Compression, Decoder, Encoder, Limits, Transformations};

use super::picture::Picture;
use super::{IconError, within_bounds};

/// Bytes of memory for what comes beside the pixels.
const ASIDE: usize = 1 << 20;

/// The pixels of a PNG, of its first frame when it moves.
pub fn decode(bytes: &[u8]) -> Result<Picture, IconError> {
    let broken = |error: png::DecodingError| IconError::Broken {
        format: "PNG",
        reason: error.to_string(),
    };
    let limits = Limits { bytes: ASIDE };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::normalize_to_color8() | Transformations::ALPHA);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(broken)?;
    let (width, height) = (header.width, header.height);
    within_bounds(width.into(), height.into())?;
    let mut reader = decoder.read_info().map_err(broken)?;
    let size = reader.output_buffer_size().unwrap_or(0);
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(broken)?;
    pixels.truncate(frame.buffer_size());
    // Behind the pixels there may be damage too.
    reader.finish().map_err(broken)?;
    Ok(Picture {
        width: frame.width,
        height: frame.height,
        pixels: match frame.color_type {
            ColorType::GrayscaleAlpha => pixels
                .chunks_exact(2)
                .flat_map(|pair| [pair[0], pair[0], pair[0], pair[1]])
                .collect(),
            _ => pixels,
        },
    })
}

/// The picture as a PNG, with a comment in it. What is wrong with it is in words.
pub fn encode(picture: &Picture, comment: Option<&str>) -> Result<Vec<u8>, String> {
    let words = |error: png::EncodingError| error.to_string();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, picture.width, picture.height);
    encoder.set_color(ColorType::Rgba);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Balanced);
    if let Some(comment) = comment {
        encoder
            .add_text_chunk("Comment".into(), comment.into())
            .map_err(words)?;
    }
    let mut writer = encoder.write_header().map_err(words)?;
    writer.write_image_data(&picture.pixels).map_err(words)?;
    writer.finish().map_err(words)?;
    Ok(bytes)
}
