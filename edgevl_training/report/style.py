# Copyright 2026 The edgevl_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Colours and type of every report, for pages and charts alike."""

from __future__ import annotations

PAPER, PANEL, LINE = '#ffffff', '#f6f8fa', '#d9e0e7'
INK, FAINT = '#1d2733', '#5f6c7b'
ACCENT, DROPPED, MARK = '#2f7ebc', '#c5ced8', '#c0392b'
SPLIT_COLOURS = {'train': '#2f7ebc', 'validation': '#e39a2d', 'test': '#7d4fa8'}
# Of models beside each other: teachers, students in between, and the one to be deployed.
TEACHER_COLOURS = ('#8b97a5', '#5f6c7b', '#b9c2cc')
STUDENT_COLOURS = ('#e39a2d', '#4a9d8f', '#7d4fa8', '#b5651d', '#87a330')
DEPLOYED_COLOUR = ACCENT

CSS = f"""
* {{ box-sizing: border-box; }}
body {{ margin: 0; background: {PAPER}; color: {INK};
  font: 15px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; }}
main {{ max-width: 1200px; margin: 0 auto; padding: 28px 32px 64px; }}
h1 {{ font-size: 28px; line-height: 1.2; margin: 0 0 6px; }}
h2 {{ font-size: 20px; margin: 44px 0 8px; padding-top: 14px; border-top: 1px solid {LINE}; }}
p {{ margin: 6px 0 12px; max-width: 82ch; }}
nav {{ display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 14px 0 0; font-size: 14px; }}
nav a, summary {{ color: {ACCENT}; }}
.notice {{ background: #fff6e5; border-left: 4px solid #e39a2d; padding: 10px 16px;
  margin: 16px 0; max-width: none; border-radius: 0 8px 8px 0; }}
.lead, figcaption, .note {{ color: {FAINT}; }}
.facts {{ display: flex; flex-wrap: wrap; gap: 12px; margin: 20px 0 8px; }}
.fact {{ flex: 1 1 150px; background: {PANEL}; border: 1px solid {LINE}; border-radius: 10px;
  padding: 12px 16px; }}
.fact b {{ display: block; font-size: 26px; line-height: 1.25; font-weight: 650; }}
.fact span {{ font-size: 13px; color: {FAINT}; }}
.row {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(460px, 1fr)); gap: 20px; }}
figure {{ margin: 10px 0 14px; }}
figure img {{ width: 100%; height: auto; display: block; }}
figcaption {{ font-size: 13px; margin-top: 4px; }}
summary {{ cursor: pointer; color: {ACCENT}; margin: 4px 0; }}
table {{ border-collapse: collapse; margin: 10px 0 16px; font-size: 14px; }}
th, td {{ text-align: left; padding: 5px 18px 5px 0; border-bottom: 1px solid {LINE};
  vertical-align: top; overflow-wrap: anywhere; }}
th {{ color: {FAINT}; font-weight: 600; }}
th, td:first-child {{ overflow-wrap: break-word; }}
.compact th, .compact td {{ overflow-wrap: normal; }}
td.number, th.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
.cards {{ display: grid; gap: 14px;
  grid-template-columns: repeat(auto-fill, minmax(260px, 1fr)); }}
.card {{ border: 1px solid {LINE}; border-radius: 10px; overflow: hidden; background: {PAPER}; }}
.card .pictures {{ display: flex; background: #10161d; }}
.card .pictures img {{ width: 50%; aspect-ratio: 4/3; object-fit: cover; display: block; }}
.card .pictures img:only-child {{ width: 100%; aspect-ratio: 8/3; }}
.card .text {{ padding: 8px 12px 10px; }}
.card .label {{ display: flex; justify-content: space-between; gap: 8px; font-weight: 600; }}
.bar {{ height: 5px; border-radius: 3px; background: {LINE}; margin: 5px 0; overflow: hidden; }}
.bar i {{ display: block; height: 100%; }}
.card .note {{ font-size: 12px; overflow-wrap: anywhere; }}
@media print {{ .card, figure {{ break-inside: avoid; }} }}
"""
