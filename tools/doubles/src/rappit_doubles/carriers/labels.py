"""Labels a printer would take: PDF with a scannable barcode, or ZPL."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fpdf import FPDF

from rappit_doubles.carriers.store import Party

# Width and height in millimetres by the carriers' own names of the stock.
STOCKS_MM: Final = {
    "STOCK_4X6": (101.6, 152.4),
    "STOCK_4X6.75": (101.6, 171.45),
    "STOCK_4X8": (101.6, 203.2),
    "STOCK_4X9": (101.6, 228.6),
    "A4": (210.0, 297.0),
    "910-300-700": (105.0, 205.0),
    "910-300-710": (105.0, 208.0),
    "910-300-600": (103.0, 199.0),
    "910-300-610": (103.0, 199.0),
    "910-300-400": (103.0, 150.0),
    "910-300-410": (103.0, 150.0),
    "910-300-300": (105.0, 148.0),
}
DEFAULT_STOCK_MM: Final = (101.6, 152.4)
MARGIN_MM: Final = 6.0
BARCODE_HEIGHT_MM: Final = 22.0
BARCODE_BAR_MM: Final = 1.0
DOTS_PER_LINE: Final = 34


@dataclass(frozen=True)
class LabelContent:
    """What one label says."""

    carrier_name: str
    service: str
    tracking_number: str
    shipper: Party
    recipient: Party
    weight: str
    reference: str | None
    piece: str = "1 of 1"


def _printable(text: str) -> str:
    # The built-in PDF fonts know Latin-1 only; a name in another script prints question marks rather than failing.
    return text.encode("latin-1", "replace").decode("latin-1")


def _write_lines(pdf: FPDF, lines: Sequence[str], *, size_pt: int, height_mm: float) -> None:
    pdf.set_font("helvetica", size=size_pt)
    for line in lines:
        pdf.cell(0, height_mm, _printable(line), new_x="LMARGIN", new_y="NEXT")


def pdf_label(content: LabelContent, stock: str) -> bytes:
    """One label as a one-page PDF of the given stock (`STOCKS_MM`; an unknown one prints as 4x6 inches)."""
    width_mm, height_mm = STOCKS_MM.get(stock.removesuffix("-oz"), DEFAULT_STOCK_MM)
    pdf = FPDF(unit="mm", format=(width_mm, height_mm))
    pdf.set_auto_page_break(auto=False)
    pdf.set_margin(MARGIN_MM)
    pdf.set_title(f"{content.carrier_name} {content.tracking_number}")
    pdf.add_page()
    _write_lines(pdf, [f"{content.carrier_name}  {content.service}"], size_pt=13, height_mm=7)
    _write_lines(pdf, ["From:", *content.shipper.lines()], size_pt=7, height_mm=3.2)
    pdf.ln(2)
    _write_lines(pdf, ["To:", *content.recipient.lines()], size_pt=11, height_mm=5)
    pdf.ln(2)
    details = [f"Weight: {content.weight}", f"Piece: {content.piece}"]
    if content.reference:
        details.append(f"Ref: {content.reference}")
    _write_lines(pdf, details, size_pt=8, height_mm=4)
    pdf.ln(2)
    # Interleaved 2 of 5 takes digits in pairs: both carriers' numbers have an even count.
    bar_mm = min(BARCODE_BAR_MM, (width_mm - 2 * MARGIN_MM) / (len(content.tracking_number) * 9 + 9) * 2)
    pdf.interleaved2of5(content.tracking_number, x=MARGIN_MM, y=pdf.get_y(), w=bar_mm, h=BARCODE_HEIGHT_MM)
    pdf.set_y(pdf.get_y() + BARCODE_HEIGHT_MM + 2)
    _write_lines(pdf, [f"TRK# {content.tracking_number}"], size_pt=12, height_mm=6)
    return bytes(pdf.output())


def zpl_label(content: LabelContent) -> str:
    """One label in ZPL II, with a Code 128 barcode."""
    fields = [
        f"{content.carrier_name} {content.service}",
        "FROM",
        *content.shipper.lines(),
        "TO",
        *content.recipient.lines(),
        f"{content.weight}  {content.piece}",
        *([f"REF {content.reference}"] if content.reference else []),
    ]
    rows = ["^XA", "^CI28", "^CF0,28"]
    for number, text in enumerate(fields):
        # A caret or tilde in an address would be read as a command.
        safe = text.replace("^", " ").replace("~", " ")
        rows.append(f"^FO40,{40 + number * DOTS_PER_LINE}^FD{safe}^FS")
    bottom = 60 + len(fields) * DOTS_PER_LINE
    rows.append(f"^FO40,{bottom}^BY3^BCN,160,Y,N,N^FD{content.tracking_number}^FS")
    rows.append("^XZ")
    return "\n".join(rows)


def encoded_label(content: LabelContent, *, file_format: str, stock: str) -> str:
    """The label as base64, the way FedEx sends it: PDF, or ZPL when `file_format` says so."""
    raw = zpl_label(content).encode() if "ZPL" in file_format else pdf_label(content, stock)
    return base64.b64encode(raw).decode("ascii")


def manifest_pdf(title: str, rows: Sequence[str]) -> bytes:
    """A day's list of parcels as a PDF with as many A4 pages as it needs."""
    pdf = FPDF(unit="mm", format="A4")
    pdf.set_title(title)
    pdf.add_page()
    _write_lines(pdf, [title], size_pt=14, height_mm=8)
    _write_lines(pdf, rows or ["(no parcels)"], size_pt=9, height_mm=5)
    return bytes(pdf.output())
