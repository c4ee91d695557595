//! Pixels, and as many of them as are wanted.

use std::f32::consts::PI;

/// Rows of pixels, each of them red, green, blue and opacity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    pub width: u32,
    pub height: u32,
    pub pixels: Vec<u8>,
}

/// A picture as others take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    /// Pixels of a row, and rows.
    pub side: u32,
    /// Red, green, blue and opacity of each.
    pub bytes: Vec<u8>,
}

impl From<Picture> for Pixels {
    fn from(picture: Picture) -> Pixels {
        Pixels {
            side: picture.width,
            bytes: picture.pixels,
        }
    }
}

/// Lobes of the filter on each side.
const LOBES: f32 = 3.0;

impl Picture {
    /// The picture in the size that just fits into a square of that side, by Lanczos' filter.
    pub fn within(&self, side: u32) -> Picture {
        let longest = u64::from(self.width.max(self.height));
        let scaled = |length: u32| {
            let exact = (u64::from(length) * u64::from(side) * 2 + longest) / (longest * 2);
            u32::try_from(exact.max(1)).unwrap_or(side)
        };
        let (width, height) = (scaled(self.width), scaled(self.height));
        if (width, height) == (self.width, self.height) {
            return self.clone();
        }
        let columns = weights(self.width, width);
        let rows = weights(self.height, height);
        let narrow = self.narrowed(&columns);
        let mut pixels = Vec::with_capacity(width as usize * height as usize * 4);
        for row in &rows {
            for x in 0..width as usize {
                let sum = row.sum(|y| narrow[y * width as usize + x]);
                pixels.extend(visible(sum));
            }
        }
        Picture {
            width,
            height,
            pixels,
        }
    }

    /// Each row with the columns that are wanted; colours weighted by their opacity, so that what cannot be seen has none.
    fn narrowed(&self, columns: &[Weights]) -> Vec<[f32; 4]> {
        let mut narrow = Vec::with_capacity(columns.len() * self.height as usize);
        let mut row = Vec::with_capacity(self.width as usize);
        for pixels in self.pixels.chunks_exact(self.width as usize * 4) {
            row.clear();
            row.extend(pixels.chunks_exact(4).map(weighted));
            narrow.extend(columns.iter().map(|column| column.sum(|x| row[x])));
        }
        narrow
    }

    /// The picture in the middle of an empty square of that side, which must not be smaller.
    pub fn centred(&self, side: u32) -> Picture {
        if (self.width, self.height) == (side, side) {
            return self.clone();
        }
        let mut pixels = vec![0; side as usize * side as usize * 4];
        let left = (side - self.width) as usize / 2 * 4;
        let top = (side - self.height) as usize / 2;
        let rows = pixels.chunks_exact_mut(side as usize * 4).skip(top);
        let length = self.width as usize * 4;
        for (to, from) in rows.zip(self.pixels.chunks_exact(length)) {
            to[left..left + length].copy_from_slice(from);
        }
        Picture {
            width: side,
            height: side,
            pixels,
        }
    }
}

/// What one pixel is made of, in one direction: neighbours from `first` on, and how much of each.
struct Weights {
    first: usize,
    each: Vec<f32>,
}

impl Weights {
    fn sum(&self, pixel: impl Fn(usize) -> [f32; 4]) -> [f32; 4] {
        let mut sum = [0.0; 4];
        for (place, weight) in self.each.iter().enumerate() {
            let pixel = pixel(self.first + place);
            for (sum, channel) in sum.iter_mut().zip(pixel) {
                *sum += channel * weight;
            }
        }
        sum
    }
}

/// The filter for each of `to` pixels that `from` become. Made smaller, the filter is as much wider.
fn weights(from: u32, to: u32) -> Vec<Weights> {
    let scale = from as f32 / to as f32;
    let width = scale.max(1.0);
    (0..to)
        .map(|place| {
            let centre = (place as f32 + 0.5) * scale;
            let reach = LOBES * width;
            let first = (centre - reach).floor().max(0.0) as usize;
            let end = ((centre + reach).ceil() as usize).min(from as usize);
            let at = |pixel: usize| lanczos((pixel as f32 + 0.5 - centre) / width);
            let mut each: Vec<f32> = (first..end).map(at).collect();
            let sum: f32 = each.iter().sum();
            each.iter_mut().for_each(|weight| *weight /= sum);
            Weights { first, each }
        })
        .collect()
}

fn lanczos(x: f32) -> f32 {
    match x.abs() {
        x if x < 1e-6 => 1.0,
        x if x >= LOBES => 0.0,
        x => LOBES * (PI * x).sin() * (PI * x / LOBES).sin() / (PI * PI * x * x),
    }
}

fn weighted(pixel: &[u8]) -> [f32; 4] {
    let opacity = f32::from(pixel[3]) / 255.0;
    let channel = |at: usize| f32::from(pixel[at]) * opacity;
    [channel(0), channel(1), channel(2), f32::from(pixel[3])]
}

fn visible([red, green, blue, opacity]: [f32; 4]) -> [u8; 4] {
    // The filter overshoots at edges.
    let opacity = opacity.clamp(0.0, 255.0);
    if opacity < 0.5 {
        return [0; 4];
    }
    let byte = |channel: f32| (channel * 255.0 / opacity).round().clamp(0.0, 255.0) as u8;
    [byte(red), byte(green), byte(blue), opacity.round() as u8]
}
