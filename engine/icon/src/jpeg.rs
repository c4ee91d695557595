//! JPEG in.

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::picture::Picture;
use super::{IconError, LONGEST_SIDE, within_bounds};

/// The pixels of a JPEG.
pub fn decode(bytes: &[u8]) -> Result<Picture, IconError> {
    let broken = |reason: String| IconError::Broken {
        format: "JPEG",
        reason,
    };
    let side = LONGEST_SIDE as usize;
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(side)
        .set_max_height(side)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let words = |error| {
        broken(
            format!("{error:?}")
                .trim_end()
                .trim_end_matches("\\n")
                .to_owned(),
        )
    };
    decoder.decode_headers().map_err(words)?;
    let found = decoder.info();
    let found = found.ok_or_else(|| broken("it has no size".into()))?;
    let (width, height) = (u32::from(found.width), u32::from(found.height));
    within_bounds(width.into(), height.into())?;
    let pixels = decoder
        .decode()
        .map_err(|error| broken(format!("{error:?}")))?;
    if pixels.len() != width as usize * height as usize * 3 {
        return Err(broken("its colours are of another kind".into()));
    }
    let opaque = |pixel: &[u8]| [pixel[0], pixel[1], pixel[2], u8::MAX];
    Ok(Picture {
        width,
        height,
        pixels: pixels.chunks_exact(3).flat_map(opaque).collect(),
    })
}
