# learning rate × φ over the steps, of lr-phi.csv:
#   gnuplot -e "picture='lr-phi.pdf'" lr-phi.gp
# The ending of `picture` says the format: svg, pdf or png. legend=0 leaves the legend out.

if (!exists("picture")) picture = "lr-phi.svg"
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
set xlabel 'step' offset 0, 0.4
set ylabel 'learning rate × φ' offset 1, 0
set xtics 50
if (legend) set key below left Left reverse maxcols 1 samplen 2 font ",11"; else set key off

plot \
  'lr-phi.csv' using (column("contender") == 1 ? column("step") : NaN):(column("mean")) with lines ls 1 title 'SGD-Nesterov', \
  'lr-phi.csv' using (column("contender") == 2 ? column("step") : NaN):(column("mean")) with lines ls 2 title 'AdamW', \
  'lr-phi.csv' using (column("contender") == 3 ? column("step") : NaN):(column("mean")) with lines ls 3 title 'LARS', \
  'lr-phi.csv' using (column("contender") == 4 ? column("step") : NaN):(column("mean")) with lines ls 4 title 'LARS + warm-up', \
  'lr-phi.csv' using (column("contender") == 5 ? column("step") : NaN):(column("mean")) with lines ls 5 title 'LAMB + warm-up', \
  'lr-phi.csv' using (column("contender") == 6 ? column("step") : NaN):(column("mean")) with lines ls 6 title 'TVLARS'
unset output
