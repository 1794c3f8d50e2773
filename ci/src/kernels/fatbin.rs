//! The images in a fatbin: a header, then for each image a header and its bytes (the layout of NVIDIA's
//! `fatbinary_section.h` and of what nvcc 13.0 writes).

use anyhow::{Context, Result, ensure};

use super::manifest::{Image, digest};

const MAGIC: u32 = 0xba55_ed50;
const KIND_PTX: u16 = 1;
const KIND_MACHINE_CODE: u16 = 2;
/// Where in an image's header the number of the architecture stands.
const ARCHITECTURE_OFFSET: usize = 28;

pub(crate) fn images(fatbin: &[u8]) -> Result<Vec<Image>> {
    ensure!(u32_at(fatbin, 0)? == MAGIC, "this is no fatbin");
    let mut rest = fatbin
        .get(usize::from(u16_at(fatbin, 6)?)..)
        .context("the fatbin is cut off")?;
    let mut images = Vec::new();
    while !rest.is_empty() {
        let header = usize::try_from(u32_at(rest, 4)?)?;
        let payload = usize::try_from(u64_at(rest, 8)?)?;
        let end = header
            .checked_add(payload)
            .context("an image is too long")?;
        let (image, next) = rest
            .split_at_checked(end)
            .context("an image of the fatbin is cut off")?;
        ensure!(!image.is_empty(), "an image of the fatbin is empty");
        images.push(Image {
            target: target(u16_at(image, 0)?, u32_at(image, ARCHITECTURE_OFFSET)?)?,
            bytes: image.len(),
            sha256: digest(image),
        });
        rest = next;
    }
    Ok(images)
}

/// As in `sm_80`; the letter behind some of them is not in the header.
fn target(kind: u16, architecture: u32) -> Result<String> {
    match kind {
        KIND_PTX => Ok(format!("compute_{architecture}")),
        KIND_MACHINE_CODE => Ok(format!("sm_{architecture}")),
        other => anyhow::bail!("an image of the fatbin is of kind {other}"),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16> {
    Ok(u16::from_le_bytes(array_at(bytes, at)?))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32> {
    Ok(u32::from_le_bytes(array_at(bytes, at)?))
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64> {
    Ok(u64::from_le_bytes(array_at(bytes, at)?))
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .context("the fatbin is cut off")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(kind: u16, architecture: u32, payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 64];
        image[..2].copy_from_slice(&kind.to_le_bytes());
        image[4] = 64;
        image[8] = u8::try_from(payload.len()).unwrap();
        image[28..32].copy_from_slice(&architecture.to_le_bytes());
        [&image, payload].concat()
    }

    fn fatbin(images: &[Vec<u8>]) -> Vec<u8> {
        let mut header = vec![0; 16];
        header[..4].copy_from_slice(&MAGIC.to_le_bytes());
        header[6] = 16;
        [header, images.concat()].concat()
    }

    #[test]
    fn every_image_is_named() {
        let fatbin = fatbin(&[image(2, 80, b"code"), image(1, 80, b"text")]);
        let images = images(&fatbin).unwrap();
        let seen: Vec<_> = images.iter().map(|image| image.target.as_str()).collect();
        assert_eq!(seen, ["sm_80", "compute_80"]);
        assert_eq!(images[0].bytes, 68);
        assert_ne!(images[0].sha256, images[1].sha256);
    }

    #[test]
    fn what_is_no_fatbin_is_refused() {
        let whole = fatbin(&[image(2, 80, b"code")]);
        for length in 1..whole.len() {
            // Behind the header alone there is no image, and that is a fatbin.
            assert!(
                length == 16 || images(&whole[..length]).is_err(),
                "{length}"
            );
        }
        assert!(images(&fatbin(&[image(7, 80, b"code")])).is_err());
        assert!(images(b"ELF").is_err());
    }
}
