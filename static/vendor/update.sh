#!/usr/bin/env bash
# Fetches the packages pinned in package.json and lays out the few files that the pages need.
# Needs npm and node; users never run it, since what it makes is committed.
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch() { # NAME -> $work/NAME holds the package
  local version archive
  version=$(node -p "require('$here/package.json').dependencies['$1']")
  archive=$(cd "$work" && npm pack --silent "$1@$version")
  mkdir -p "$work/$1"
  tar -xzf "$work/$archive" -C "$work/$1" --strip-components=1
}

take() { # PACKAGE FILE TARGET: without the comment that names a source map, which we do not ship
  mkdir -p "$(dirname "$3")"
  sed -E 's@/\*# sourceMappingURL=[^*]*\*/@@; s@//# sourceMappingURL=.*$@@' "$work/$1/$2" > "$3"
}

for name in $(node -p "Object.keys(require('./package.json').dependencies).join(' ')"); do fetch "$name"; done

take @tabler/core dist/css/tabler.min.css tabler/tabler.min.css
take @tabler/core dist/js/tabler.min.js tabler/tabler.min.js
take htmx.org dist/htmx.min.js htmx/htmx.min.js
take htmx.org LICENSE htmx/LICENSE
take plotly.js-cartesian-dist-min plotly-cartesian.min.js plotly/plotly-cartesian.min.js
take plotly.js-cartesian-dist-min LICENSE plotly/LICENSE
take tus-js-client dist/tus.min.js tus/tus.min.js
take tus-js-client LICENSE tus/LICENSE
take client-zip index.js client-zip/client-zip.js
take client-zip LICENSE.txt client-zip/LICENSE
take @tabler/icons LICENSE icons/LICENSE
take @fontsource-variable/inter LICENSE inter/LICENSE
for range in latin latin-ext; do
  cp "$work/@fontsource-variable/inter/files/inter-$range-wght-normal.woff2" inter/
done
chmod 644 inter/*

# One sprite of the icons named in icons.txt: <use href="icons.svg#NAME">.
{
  echo '<svg xmlns="http://www.w3.org/2000/svg">'
  while read -r icon; do
    case $icon in
      *-filled) source=filled/${icon%-filled}; paint='fill="currentColor"' ;;
      *) source=outline/$icon
         paint='fill="none" stroke="currentColor" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round"' ;;
    esac
    shapes=$(tr '\n' ' ' < "$work/@tabler/icons/icons/$source.svg" |
      sed -E 's@<!--.*-->@@; s@<svg[^>]*>@@; s@</svg>@@; s@<path stroke="none"[^>]*/>@@; s@ +@ @g')
    printf '<symbol id="%s" viewBox="0 0 24 24" %s>%s</symbol>\n' "$icon" "$paint" "$shapes"
  done < <(sort -u icons.txt)
  echo '</svg>'
} > icons/icons.svg
echo "Made $(grep -c '<symbol' icons/icons.svg) icons and $(find . -name '*.js' | wc -l) scripts."
