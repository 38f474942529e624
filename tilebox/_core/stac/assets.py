"""Assets of items: the message that stores all of them, and the location and thumbnail that storage clients read."""

from __future__ import annotations

import posixpath
import re
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from tilebox._core.protocol.datasets.stac.v1 import asset_metadata_pb2, asset_pb2, core_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tilebox._core.stac.documents import Item

ASSETS_TYPE = asset_pb2.Assets.DESCRIPTOR.full_name

# The path of a Sentinel product's folder, including its name.
_PRODUCT_FOLDER = re.compile(r"^(.*?/[^/]+\.(?:SAFE|SEN3|SEN6))(?:/|$)")
_COPERNICUS_BUCKET = "s3://eodata/"
_THUMBNAIL_ROLES = ("thumbnail", "overview", "preview")
_THUMBNAIL_KEYS = (*_THUMBNAIL_ROLES, "quicklook", "rendered_preview")
_MEDIA_TYPES = {
    "application/geo+json": "GEOJSON",
    "application/json": "JSON",
    "image/tiff; application=geotiff; profile=cloud-optimized": "CLOUD_OPTIMIZED_GEOTIFF",
    "image/vnd.stac.geotiff; cloud-optimized=true": "CLOUD_OPTIMIZED_GEOTIFF",
    "image/jp2": "JPEG_2000",
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "application/xml": "APPLICATION_XML",
    "application/zip": "ZIP",
    "application/x-directory": "DIRECTORY",
    "image/tiff; application=geotiff": "GEOTIFF",
    "image/tiff": "TIFF",
    "application/x-hdf5": "HDF5",
    "application/x-hdf": "HDF",
    "application/netcdf": "NETCDF",
    "application/x-netcdf": "NETCDF",
    "application/vnd.apache.parquet": "PARQUET",
    "application/x-parquet": "PARQUET",
    "application/geopackage+sqlite3": "GEOPACKAGE",
    "application/vnd.laszip+copc": "COPC",
    "text/html": "HTML",
    "text/plain": "TEXT",
    "text/xml": "TEXT_XML",
    "application/octet-stream": "OCTET_STREAM",
}


def location_of(item: Item) -> str | None:
    """Return the location of an item's product, or None if the item has no assets.

    It is the folder of the product if the assets lie in one (`/eodata/...` for the Copernicus bucket, which its storage
    client expects), else the only data asset, else the folder that contains most data assets.
    """
    hrefs = [href for _, asset in _assets(item) for href in _hrefs_by_preference(asset) if not _is_thumbnail(asset)]
    for href in sorted(hrefs, key=_is_web):
        if match := _PRODUCT_FOLDER.match(href):
            return _catalogue_path(match[1])
    data = [
        href for _, asset in _assets(item) if "data" in _roles(asset) for href in _hrefs_by_preference(asset)[:1]
    ] or hrefs
    # An address with a query belongs to a rendering service, not to a file.
    data = [href for href in data if "?" not in href]
    if len(data) == 1:
        return _catalogue_path(data[0])
    folders = Counter(posixpath.dirname(href) for href in data if "/" in href)
    return _catalogue_path(min(folders, key=lambda name: (-folders[name], name))) if folders else None


def thumbnail_of(item: Item) -> str | None:
    """Return the address of an item's thumbnail, else of its overview or preview, or None if it has none."""
    assets = dict(_assets(item))
    for role in _THUMBNAIL_ROLES:
        for key in sorted(assets):
            # A TIFF overview may have full resolution, and browsers cannot show it.
            if role in _roles(assets[key]) and not str(assets[key].get("type", "")).startswith("image/tiff"):
                return str(assets[key]["href"])
    return next((str(assets[key]["href"]) for key in _THUMBNAIL_KEYS if key in assets), None)


def assets_message(item: Item) -> asset_pb2.Assets | None:
    """Return all assets of an item as one message, or None if it has no assets.

    Locations in the same folder share an access profile, and equal bands share a band profile. A scene of twenty files
    thus stores the name of its folder once.
    """
    message = asset_pb2.Assets()
    profiles: dict[tuple[str, str], int] = {}
    bands: dict[bytes, int] = {}
    for key, asset in _assets(item):
        entry = message.assets.add(key=key)
        _set_location(message, profiles, entry.primary, asset["href"])
        for name, href in _alternates(asset).items():
            _set_location(message, profiles, entry.alternates.add(alternate_name=name), href, name)
        _set_metadata(entry, asset)
        for band in _bands(asset):
            serialised = band.SerializeToString(deterministic=True)
            if serialised not in bands:
                bands[serialised] = len(bands)
                message.band_profiles.append(band)
            entry.band_profile_indices.append(bands[serialised])
    return message if message.assets else None


def _assets(item: Item) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the assets with an address in order of their keys, so that equal items give equal bytes."""
    assets = item.get("assets")
    for key, asset in sorted(assets.items()) if isinstance(assets, dict) else ():
        if isinstance(asset, dict) and isinstance(asset.get("href"), str):
            yield key, asset


def _alternates(asset: Mapping[str, Any]) -> dict[str, str]:
    """Return the alternate addresses of an asset by name, in order."""
    others = asset.get("alternate")
    return {
        name: other["href"]
        for name, other in (sorted(others.items()) if isinstance(others, dict) else ())
        if isinstance(other, dict) and isinstance(other.get("href"), str)
    }


def _roles(asset: Mapping[str, Any]) -> list[str]:
    roles = asset.get("roles")
    return [role for role in roles if isinstance(role, str)] if isinstance(roles, list) else []


def _is_thumbnail(asset: Mapping[str, Any]) -> bool:
    return any(role in _THUMBNAIL_ROLES for role in _roles(asset))


def _is_web(href: str) -> bool:
    return href.startswith(("http://", "https://"))


def _hrefs_by_preference(asset: Mapping[str, Any]) -> list[str]:
    """Return the addresses of an asset, those in object stores first."""
    return sorted([asset["href"], *_alternates(asset).values()], key=_is_web)


def _catalogue_path(href: str) -> str:
    return f"/eodata/{href.removeprefix(_COPERNICUS_BUCKET)}" if href.startswith(_COPERNICUS_BUCKET) else href


def _set_location(
    message: asset_pb2.Assets,
    profiles: dict[tuple[str, str], int],
    location: asset_pb2.AssetLocation,
    href: str,
    alternate: str = "",
) -> None:
    path = href.partition("?")[0]
    base = href[: path.rfind("/") + 1]
    if (base, alternate) not in profiles:
        profiles[base, alternate] = len(profiles)
        message.access_profiles.add(base_href=base, alternate_key=alternate)
    location.access_profile_index = profiles[base, alternate]
    location.href = href[len(base) :]


def _set_metadata(entry: asset_pb2.Asset, asset: Mapping[str, Any]) -> None:
    for name in ("title", "description"):
        if isinstance(asset.get(name), str):
            setattr(entry, name, asset[name])
    if isinstance(asset.get("type"), str):
        entry.media_type.CopyFrom(_media_type(asset["type"]))
    for role in _roles(asset):
        known = f"KNOWN_ASSET_ROLE_{re.sub(r'[^A-Z0-9]+', '_', role.upper())}"
        if known in asset_pb2.KnownAssetRole.keys():  # noqa: SIM118 - a protobuf enumeration, no dict
            entry.roles.append(asset_pb2.KnownAssetRole.Value(known))  # type: ignore[arg-type]
        else:
            entry.custom_roles.append(role)
    if _is_number(asset.get("gsd")):
        entry.gsd = asset["gsd"]
    size = asset.get("file:size")
    if isinstance(size, int) and not isinstance(size, bool) and 0 <= size < 2**64:
        entry.file.size = size
    checksum = asset.get("file:checksum")
    if isinstance(checksum, str) and re.fullmatch(r"([0-9a-fA-F]{2})+", checksum):
        entry.file.checksum = bytes.fromhex(checksum)


def _media_type(text: str) -> core_pb2.MediaType:
    name = _MEDIA_TYPES.get(text.strip().lower())
    if name is None:
        return core_pb2.MediaType(custom=text)
    return core_pb2.MediaType(known=f"KNOWN_MEDIA_TYPE_{name}")


def _bands(asset: Mapping[str, Any]) -> Iterable[asset_pb2.Band]:
    """Read the bands of STAC 1.1, or those of earlier versions, in which two lists describe the same bands."""
    if bands := _list_of_dicts(asset.get("bands")):
        return [_band(band) for band in bands]
    eo, raster = (_list_of_dicts(asset.get(key)) for key in ("eo:bands", "raster:bands"))
    empty: dict[str, Any] = {}
    return [
        _band({**(raster[i] if i < len(raster) else empty), **(eo[i] if i < len(eo) else empty)})
        for i in range(max(len(eo), len(raster)))
    ]


def _band(source: Mapping[str, Any]) -> asset_pb2.Band:
    band = asset_pb2.Band()
    for name in ("name", "description", "unit"):
        if isinstance(source.get(name), str):
            setattr(band, name, source[name])
    if _is_number(source.get("nodata")):
        band.nodata = source["nodata"]
    data_type = f"DATA_TYPE_{str(source.get('data_type')).upper()}"
    if data_type in asset_pb2.DataType.keys():  # noqa: SIM118 - a protobuf enumeration, no dict
        band.data_type = asset_pb2.DataType.Value(data_type)  # type: ignore[assignment]
    common = f"EO_COMMON_NAME_{source.get('eo:common_name', source.get('common_name', ''))}".upper()
    if common in asset_metadata_pb2.EOCommonName.keys():  # noqa: SIM118 - a protobuf enumeration, no dict
        band.eo.common_name = asset_metadata_pb2.EOCommonName.Value(common)  # type: ignore[assignment]
    for name in ("center_wavelength", "full_width_half_max", "solar_illumination"):
        value = source.get(f"eo:{name}", source.get(name))
        if _is_number(value):
            setattr(band.eo, name, value)
    for name in ("scale", "offset", "spatial_resolution"):
        value = source.get(f"raster:{name}", source.get(name))
        if _is_number(value):
            setattr(band.raster, name, value)
    return band


def _is_number(value: Any) -> bool:
    """Return whether a value is a number that fits a double."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _list_of_dicts(value: Any) -> list[dict[str, Any]]:
    return value if isinstance(value, list) and all(isinstance(part, dict) for part in value) else []
