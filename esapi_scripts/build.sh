#!/bin/sh
# Compiles the emulation of ESAPI, the plug-in, the launcher and the read-only script with Mono's compiler.
#
#   sh esapi_scripts/build.sh [VERSION...]        default: 15.6 16.1 18.0
#
# Into build/esapi/VERSION/. What is newer than its sources is left alone. A clinic builds the plug-in and the launcher
# with .NET instead (plugin/*.csproj, launcher/*.csproj), against its own Varian assemblies; see README.md.
set -eu
export MONO_THREADS_SUSPEND=preemptive

python=${PYTHON:-.venv/bin/python}
here=esapi_scripts
cd -- "$(dirname -- "$0")/.."   # names below are relative, so that a blank in the way here does no harm

if ! command -v mcs >/dev/null 2>&1; then
    echo "build.sh: Mono's compiler (mcs) is missing. On Debian and Ubuntu:" >&2
    echo "  apt-get install -y --no-install-recommends mono-mcs mono-runtime libmono-2.0-1 mono-devel" >&2
    exit 2
fi

symbol_of() {
    case $1 in
        15.*) echo ESAPI15 ;;
        16.*) echo ESAPI16 ;;
        18.*) echo ESAPI18 ;;
        *) echo "build.sh: no profile for Eclipse $1; there are 15.6, 16.1 and 18.0." >&2; return 1 ;;
    esac
}

netstandard() {
    for facades in /usr/lib/mono/4.5/Facades "$(dirname -- "$(dirname -- "$(command -v mcs)")")/lib/mono/4.5/Facades"; do
        if [ -f "$facades/netstandard.dll" ]; then
            echo "$facades/netstandard.dll"
            return
        fi
    done
    echo "build.sh: netstandard.dll is missing; it comes with mono-devel:" >&2
    echo "  apt-get install -y --no-install-recommends mono-devel" >&2
    return 1
}

# out_of_date TARGET SOURCE...: a source may be a file or a folder (then its *.cs, and what was added or taken away)
out_of_date() {
    target=$1
    shift
    [ -f "$target" ] || return 0
    [ -z "$(find "$@" "$here/build.sh" \( -name '*.cs' -o -name '*.dll' -o -name '*.sh' -o -type d \) -newer "$target" | head -n 1)" ] || return 0
    return 1
}

# compile KIND NAME "PLACES" "REFERENCES" [FLAG...]: PLACES are folders or files below esapi_scripts
compile() {
    kind=$1 name=$2 places=$3 references=$4
    shift 4
    watched='' sources='' refer=''
    for place in $places; do
        found=$(find "$here/$place" -name '*.cs' 2>/dev/null | sort || true)
        if [ -z "$found" ]; then
            echo "  $name: skipped, esapi_scripts/$place has no sources" >&2
            return 0
        fi
        watched="$watched $here/$place"
        sources="$sources $found"
    done
    for reference in $references; do
        case $reference in
            own:*)
                assembly=$into/${reference#own:}
                if [ ! -f "$assembly" ]; then
                    echo "  $name: skipped, ${reference#own:} is not there" >&2
                    return 0
                fi
                watched="$watched $assembly"
                refer="$refer -r:$assembly"
                ;;
            *) refer="$refer -r:$reference" ;;
        esac
    done
    # shellcheck disable=SC2086
    out_of_date "$into/$name" $watched || return 0
    making=$into/.making-$$
    mkdir -p "$making"
    : > "$making/began"
    # shellcheck disable=SC2086
    if ! mcs -nologo -warn:4 -warnaserror- -target:"$kind" -platform:x64 -d:TRACE -d:"$symbol" "$@" \
        -out:"$making/$name" $refer $sources; then
        rm -rf "$making"
        echo "build.sh: $name for Eclipse $version does not compile." >&2
        return 1
    fi
    touch -r "$making/began" "$making/$name"   # a source saved while mcs ran is newer than the result
    mv -f "$making/$name" "$into/$name"
    rm -rf "$making"
    echo "  $name"
}

copy_python_runtime() {
    runtime=$("$python" -c 'import pathlib, pythonnet; print(pathlib.Path(pythonnet.__file__).parent / "runtime" / "Python.Runtime.dll")') || {
        echo "build.sh: $python has no pythonnet: $python -m pip install pythonnet" >&2
        return 1
    }
    cmp -s "$runtime" "$into/Python.Runtime.dll" || cp "$runtime" "$into/Python.Runtime.dll"
}

build() {
    version=$1
    symbol=$(symbol_of "$version")
    into=build/esapi/$version
    mkdir -p "$into"
    echo "Eclipse $version -> build/esapi/$version"
    copy_python_runtime
    api='own:VMS.TPS.Common.Model.API.dll own:VMS.TPS.Common.Model.Types.dll'
    embedding="$api own:Python.Runtime.dll $facade"
    windows='System.Windows.Forms.dll System.Drawing.dll WindowsBase.dll'
    compile library VMS.TPS.Common.Model.Types.dll emulation/Types ''
    compile library VMS.TPS.Common.Model.API.dll emulation/API \
        'own:VMS.TPS.Common.Model.Types.dll System.dll System.Core.dll System.Web.Extensions.dll'
    compile library beamwright.esapi.dll plugin "$embedding $windows" -langversion:6
    compile exe BeamwrightLauncher.exe 'launcher plugin/Hosting' \
        "$embedding WindowsBase.dll" -langversion:6
    compile library PlanFacts.esapi.dll readonly "$api" -langversion:5 -d:WITHOUT_WPF   # Eclipse compiles it itself
    compile exe EclipseHost.exe emulated_eclipse "$api WindowsBase.dll System.Web.Extensions.dll" -langversion:6
}

facade=$(netstandard)
[ $# -gt 0 ] || set -- 15.6 16.1 18.0
for version in "$@"; do
    build "$version"
done
