// The one style of the web page; the Content-Security-Policy names it by its hash.
#pragma once

namespace berth::registryd {

inline constexpr char kPageStyle[] = R"css(
:root{color-scheme:light dark;--ground:#fff;--raised:#f5f6f8;--line:#d9dde3;--text:#1b1f24;--quiet:#57606a;--link:#0a58ca;--focus:#0a58ca;--shade:#0003}
@media (prefers-color-scheme:dark){:root{--ground:#0f1318;--raised:#181e26;--line:#303a46;--text:#e6eaef;--quiet:#9aa7b4;--link:#7ab7ff;--focus:#7ab7ff;--shade:#fff4}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif;overflow-wrap:anywhere}
header.site{background:var(--raised);border-bottom:1px solid var(--line)}
header.site>div,main,footer{max-width:68rem;margin:0 auto;padding:.75rem 1rem}
header.site>div{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:center}
header.site .brand{font-weight:650;color:var(--text);text-decoration:none}
header.site .host{color:var(--quiet);font-weight:400}
header.site form{display:flex;flex:1 1 14rem;gap:.4rem;max-width:26rem;margin-left:auto}
header.site .who{color:var(--quiet);font-size:.9rem}
input,button{font:inherit;color:inherit;background:var(--ground);border:1px solid var(--line);border-radius:.4rem;padding:.35rem .6rem;min-width:0}
input{flex:1}
::placeholder{color:var(--quiet);opacity:1}
button{cursor:pointer;background:var(--raised)}
main{padding-top:1.25rem;padding-bottom:2rem}
footer{color:var(--quiet);font-size:.85rem}
h1{font-size:1.5rem;line-height:1.25;margin:.2rem 0 .6rem}
h2{font-size:1.15rem;margin:2rem 0 .6rem}
.card h3{font-size:1.25rem}.card h4{font-size:1.1rem}.card h5,.card h6{font-size:1rem}
.card h3,.card h4,.card h5,.card h6{margin:1.4rem 0 .5rem;line-height:1.3}
.card{border:1px solid var(--line);border-radius:.5rem;padding:.25rem 1rem}
.card blockquote{margin:1rem 0;padding:0 1rem;border-left:.25rem solid var(--line);color:var(--quiet)}
.card details{margin:1rem 0}
a{color:var(--link)}
td>a,th>a{text-decoration:none}
td>a:hover,th>a:hover{text-decoration:underline}
:focus-visible{outline:.15rem solid var(--focus);outline-offset:.15rem;border-radius:.2rem}
.scroll{overflow-x:auto;overflow-wrap:break-word;margin:.6rem 0;border:1px solid var(--line);border-radius:.5rem;
background:linear-gradient(to right,var(--ground) 40%,transparent) left/2.5rem 100% no-repeat local,linear-gradient(to left,var(--ground) 40%,transparent) right/2.5rem 100% no-repeat local,linear-gradient(to right,var(--shade),transparent) left/.7rem 100% no-repeat,linear-gradient(to left,var(--shade),transparent) right/.7rem 100% no-repeat}
table{border-collapse:collapse;width:100%;font-size:.95rem}
th,td{text-align:left;vertical-align:top;padding:.45rem .75rem;border-bottom:1px solid var(--line)}
tr:last-child>td,tbody tr:last-child>th{border-bottom:0}
thead th{font-size:.85rem;font-weight:600;color:var(--quiet);white-space:nowrap}
tbody th{font-weight:600}
th.name{min-width:11rem;overflow-wrap:anywhere}
td.value{min-width:14rem;overflow-wrap:anywhere}
@media (max-width:40rem){th,td{padding:.4rem .5rem}th.name{min-width:8.5rem}}
td.fixed,td.number{white-space:nowrap}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.9em}
code{background:var(--raised);border-radius:.25rem;padding:.1em .3em}
pre{background:var(--raised);border:1px solid var(--line);border-radius:.5rem;padding:.7rem .9rem;overflow-x:auto;overflow-wrap:normal}
pre code{background:none;padding:0}
td code{white-space:nowrap}
dl.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(10.5rem,45%),1fr));gap:.8rem 1.2rem;margin:1rem 0}
dl.facts dt{color:var(--quiet);font-size:.85rem}
dl.facts dd{margin:0;font-weight:550}
.quiet{color:var(--quiet)}
.note{border-left:.25rem solid var(--line);padding:.3rem .9rem;background:var(--raised)}
nav.pages{display:flex;gap:1rem;margin:1rem 0}
nav.trail{color:var(--quiet);font-size:.9rem}
)css";

}  // namespace berth::registryd
