# test accuracy (%) over the epochs, of test-accuracy.csv:
#   gnuplot -e "picture='test-accuracy.pdf'" test-accuracy.gp
# The ending of `picture` says the format: svg, pdf or png. legend=0 leaves the legend out.

if (!exists("picture")) picture = "test-accuracy.svg"
if (!exists("legend")) legend = 1
format = picture[strlen(picture) - 2 : *]
width = 460
height = 300 + (legend ? 128 : 0)
if (format eq "svg") set terminal svg size width, height noenhanced font "sans-serif,13"
if (format eq "pdf") set terminal pdfcairo size width / 90.0, height / 90.0 noenhanced font "sans,9.5"
if (format eq "png") set terminal pngcairo size 2 * width, 2 * height noenhanced font "sans,13" fontscale 1.35
set output picture

set datafile separator ","
set border 3 lc rgb "#777777"
set tics nomirror out scale 0.6 textcolor rgb "#333333"
set grid ytics lt 1 lc rgb "#dddddd" lw 1
set style line 1 lc rgb "#0072b2" lw 2 dt solid pt 7 ps 0.35
set style line 2 lc rgb "#d55e00" lw 2 dt solid pt 7 ps 0.35
set style line 3 lc rgb "#009e73" lw 2 dt solid pt 7 ps 0.35
set style line 4 lc rgb "#cc79a7" lw 2 dt solid pt 7 ps 0.35
set style line 5 lc rgb "#e69f00" lw 2 dt solid pt 7 ps 0.35
set style line 6 lc rgb "#56b4e9" lw 2 dt solid pt 7 ps 0.35
set xlabel 'epoch' offset 0, 0.4
set ylabel 'test accuracy (%)' offset 1, 0
set xtics 1
if (legend) set key below left Left reverse maxcols 1 samplen 2 font ",11"; else set key off

plot \
  'test-accuracy.csv' using (column("contender") == 1 ? column("epoch") : NaN):(column("mean") - column("std")):(column("mean") + column("std")) \
    with filledcurves fc rgb "#0072b2" fs transparent solid 0.15 noborder notitle, \
  'test-accuracy.csv' using (column("contender") == 2 ? column("epoch") : NaN):(column("mean") - column("std")):(column("mean") + column("std")) \
    with filledcurves fc rgb "#d55e00" fs transparent solid 0.15 noborder notitle, \
  'test-accuracy.csv' using (column("contender") == 3 ? column("epoch") : NaN):(column("mean") - column("std")):(column("mean") + column("std")) \
    with filledcurves fc rgb "#009e73" fs transparent solid 0.15 noborder notitle, \
  'test-accuracy.csv' using (column("contender") == 4 ? column("epoch") : NaN):(column("mean") - column("std")):(column("mean") + column("std")) \
    with filledcurves fc rgb "#cc79a7" fs transparent solid 0.15 noborder notitle, \
  'test-accuracy.csv' using (column("contender") == 5 ? column("epoch") : NaN):(column("mean") - column("std")):(column("mean") + column("std")) \
    with filledcurves fc rgb "#e69f00" fs transparent solid 0.15 noborder notitle, \
  'test-accuracy.csv' using (column("contender") == 6 ? column("epoch") : NaN):(column("mean") - column("std")):(column("mean") + column("std")) \
    with filledcurves fc rgb "#56b4e9" fs transparent solid 0.15 noborder notitle, \
  'test-accuracy.csv' using (column("contender") == 1 ? column("epoch") : NaN):(column("mean")) with linespoints ls 1 title 'SGD-Nesterov', \
  'test-accuracy.csv' using (column("contender") == 2 ? column("epoch") : NaN):(column("mean")) with linespoints ls 2 title 'AdamW', \
  'test-accuracy.csv' using (column("contender") == 3 ? column("epoch") : NaN):(column("mean")) with linespoints ls 3 title 'LARS', \
  'test-accuracy.csv' using (column("contender") == 4 ? column("epoch") : NaN):(column("mean")) with linespoints ls 4 title 'LARS + warm-up', \
  'test-accuracy.csv' using (column("contender") == 5 ? column("epoch") : NaN):(column("mean")) with linespoints ls 5 title 'LAMB + warm-up', \
  'test-accuracy.csv' using (column("contender") == 6 ? column("epoch") : NaN):(column("mean")) with linespoints ls 6 title 'TVLARS'
unset output
