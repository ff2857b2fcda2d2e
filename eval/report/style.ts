import { declarations } from "./theme.ts";

/** The page's only style sheet; figures and tables have no style attributes. */
export const STYLE = `
:root{color-scheme:light dark;${declarations("light")}}
@media (prefers-color-scheme:dark){:root{${declarations("dark")}}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main,header,nav{max-width:1320px;margin:0 auto;padding:0 clamp(16px,3vw,40px)}
header{padding-top:clamp(28px,5vw,56px)}
h1{font-size:clamp(1.6rem,3.4vw,2.3rem);line-height:1.15;letter-spacing:-.015em;margin:0 0 .5rem;text-wrap:balance;overflow-wrap:anywhere}
h2{font-size:1.3rem;line-height:1.25;margin:0 0 .4rem;letter-spacing:-.005em}
h3{font-size:.95rem;font-weight:600;margin:0}
p{margin:.35rem 0 .8rem;max-width:76ch}
.lead,figcaption,.note{color:var(--ink-2)}
figcaption,.note{font-size:.9rem;max-width:92ch}
a{color:var(--accent)}
nav{padding-top:.9rem;padding-bottom:.4rem}
nav ul{display:flex;flex-wrap:wrap;gap:.35rem 1.1rem;list-style:none;margin:0;padding:0;font-size:.92rem}
section{background:var(--surface);border:1px solid var(--grid);border-radius:12px;padding:clamp(16px,2.4vw,28px);margin:1.2rem 0}
figure{margin:0}
.legend{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;list-style:none;padding:0;margin:.9rem 0 .2rem;font-size:.88rem;color:var(--ink-2)}
.legend li{display:flex;align-items:center;gap:.45rem;overflow-wrap:anywhere}
.legend svg{flex:none}
.panels{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,340px),1fr));gap:1.3rem 1.6rem;margin-top:.9rem}
.panels.narrow{align-items:end;grid-template-columns:repeat(auto-fill,minmax(min(100%,250px),1fr))}
.panel{max-width:560px;min-width:0}
.narrow .panel{max-width:340px}
.panel h3{overflow-wrap:anywhere}
.panel svg{display:block;width:100%;height:auto;overflow:visible}
svg text{white-space:pre}
.scroll{overflow-x:auto;margin:.9rem 0 0;border-radius:6px}
.scroll:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums;min-width:100%}
caption{text-align:left;color:var(--ink-2);font-size:.9rem;padding-bottom:.5rem}
caption span{position:sticky;left:0;display:inline-block;max-width:min(92ch,100vw - 5rem)}
th,td{text-align:left;padding:.42rem .9rem .42rem 0;border-bottom:1px solid var(--grid);vertical-align:top;white-space:nowrap}
thead th{color:var(--ink-2);font-weight:600;border-bottom-color:var(--muted)}
tbody th{font-weight:400;position:sticky;left:0;background:var(--surface);padding-right:1.2rem;white-space:normal;min-width:16ch;max-width:34ch;overflow-wrap:anywhere}
tbody tr.rule th,tbody tr.rule td{border-top:1px solid var(--muted)}
td small{display:block;color:var(--ink-2);font-size:.8rem}
td.text{white-space:normal;overflow-wrap:anywhere;min-width:16ch}
th small{color:var(--ink-2);display:block;white-space:normal}
b{font-weight:700}
.flag{color:var(--flag);font-weight:600}
details{border-top:1px solid var(--grid);padding:.55rem 0}
summary{cursor:pointer;font-weight:600}
ul.warnings{padding-left:1.1rem;font-size:.9rem;overflow-wrap:anywhere}
code{font:.88em ui-monospace,SFMono-Regular,Menlo,monospace;overflow-wrap:anywhere}
footer{color:var(--ink-2);font-size:.88rem;text-align:center;padding:.5rem 1rem 2.5rem}
@media (max-width:640px){tbody th{max-width:42vw;white-space:normal;overflow-wrap:anywhere}main,header,nav{padding-left:12px;padding-right:12px}}
@media print{body{background:#fff}section{break-inside:avoid;border:0;padding:0}details{display:block}}
`.trim();
