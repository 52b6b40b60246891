/** The 1,000 most frequent words of 5 to 14 letters in a novel of the public domain (War and Peace), most frequent first. */
export const WORDS: readonly string[] = `
which their would there could himself about before thought began again asked looked still after without those
first something seemed other another people little where these whole should heard because being always right
officer young nothing round moment voice general smile looking never words house father turned suddenly having
countess quite everything though through under battle think understand soldiers while herself evidently already
feeling might going stood place replied expression every position commander anything others behind horse order
toward front enemy hands troops three chief horses called great shouted taken alone shall between mother saying
thing letter officers things table night regiment along against entered found question sitting moved evening
morning continued whether brought crowd added drawing cried wounded speak themselves power taking soldier
received white understood everyone leave orders action among stopped woman passed fellow happy wished tried
talking movement death anyone friend wanted remained given small noticed really heart turning longer impossible
matter beside possible thousand dinner became large during forward spoke happened conversation world cannot
silent around ready since trying better sound tears adjutant itself faces husband standing times daughter coming
seeing honor answered glanced strange light speaking history terrible smiled almost myself known brother women
reply village cause repeated reached returned several different family afraid answer smiling voices doing doctor
together quickly necessary above force especially steps listened sides certain followed twenty often merely
black field later important waiting state staff command happiness society service bridge present third money
excellency immediately someone reason pleasure killed appeared course smoke become hundred contrary thinking
presence either usual former loved events kissed holding strength clear affairs historians years expressed
peasants yourself frightened short children moving believe opened prisoners attention thoughts carriage remember
across second ordered study window human showed freedom activity child whose angry making ground peace shoulders
handsome giving attack raised military country close asking campaign sometimes everybody running considered
dress straight silence remembered shouting hussars generals decided sister business ought galloped company
struck please beyond flank questions closed return fresh carried unable changed uniform talked meaning tomorrow
interrupted wrote laughing opinion rapidly arrived sight expected remarked colonel corner clearly ladies
occupied event meeting spent covered rather gazed experienced living master pleased beginning forces porch
cannon pleasant subject particularly water captain least neither seems knows surprise truth farther firing
retreat exclaimed sounds happen middle victory point difficult leaving knowing reading hussar meant fixed
listening seized change lying infantry various begun grown beautiful finished whispered passing marry pressed
carts today quiet prepared angrily clock laughed continually sleep distance ranks rushed single drove asleep
mouth listen serfs within simply fight affair hardly evident remain effort pointing getting cavalry condition
conception story latter probably direction glass drawn future lived peasant suite matters person paused married
formed nonsense gentlemen march desire presented result suffering special bring looks liked therefore forget
battery actions instead nearer rubles guests sense bright dressed spite placed number danger means court
occurred addressing enter glance approached brilliant begin figure party laughter walked hearing report pretty
glancing muttered account involuntarily wearing serious group simple hurriedly except feelings dressing interest
understanding notice friends relations silently consciousness splendid chair growing plain flushed wrong filled
according unknown settled effect telling sorry following strong minutes crossed genius imagine greater riding
squadron blame advance forest written despite expecting lifted visitors instant surrounded houses visit animated
explain regard government consider learned boots needed blood cross dying express recognized manner wishing
addressed threw excited letters beauty doubt laugh aside street pointed significance conditions earth spread
approaching gazing fingers broken surprised familiar slightly seven miles marriage possibility bowed rising
shoulder enough started shown touched caught burning health girls conscious paper handed estate servants devil
personal character ashamed destroyed higher movements sacrifice commanders advanced promised certainly opposite
spoken happens quietly confused stern sighed plans arrival stupid kindly pushed noticing regarded nurse avoid
abandoned unexpectedly highest circle supper convinced cloak comes sorrow fallen river artillery burned
sovereign hastily ceased broke appear rooms nearly entering write stepped passage caused journey quarters
appointed assumed necessity shook merry putting carry heads heavy stand division historical mentioned gesture
relation broad object forgotten further circumstances crossing common interests church darkness burst arranged
drive floor shouts satisfaction playing places directed reception center joined uttered offered heaven joyful
moments cheerful yesterday early direct success purpose music coachman members regimental singing alive absence
inevitability importance footman charming gathered green agitated expect blushed recalled dreadful tender twice
worse serve causes curiosity chest departure chance awaiting reports stout difficulty forehead excitement jumped
carefully frowning somewhere returning scarcely recognize papers thirty rapid garden orderly major played spirit
respect ourselves clever teeth apart motion whisper balls thrown enormous leaning happening increased streets
previously repeating visitor showing watched accompanied finish mustache firmly knowledge allow hours gentleman
bound prisoner fighting battalion armies humanity breast captured raising frowned unpleasant considering
carrying badly speech particular realized horror admit leading accustomed forgive comrades inhabitants gentle
natural wound lower quick prove completely explained concluded youth ideas easily thousands outside dancing
household imagined walking efforts valet science trembling engagement confusion forty intimate capital influence
nodded saber greatest agitation cards fourth shirt drink intended receive allowed minute respectfully companion
impression stronger columns headquarters space appearance believed secret memory produced satisfied glory
crowded experience everywhere agree definite bottle fellows visible carriages clean immense apparently
handkerchief demanded writing fault complete period corps destruction estates habit solemn below spectacles
acquaintance anxious connection eight receiving embraced fully intention feared inquired sternly instructions
acquaintances false mounted sleigh ruined previous winter slowly chiefly remarks fought stranger generally smell
anger explanation column chosen series knoll favorite gaily vicomte letting escape pressing friendship adjutants
follow joyfully empty lines preparing millions falling flight suppose spring dangerous finger dance property
unexpected prayer informed trees baggage council gallop similar battlefield steward sympathy ballroom loudly
managed theory touching nations absent kissing resolute knees watching afterwards attitude tenderness softly
loving terror details grief imagination pistol saddle sergeant galloping offer midst pause helped dropped
anteroom remark wheels months removed losing reach proud illness cousin shaking timidly insisted driving awaited
suffered delight reported usually
`
  .trim()
  .split(/\s+/);
